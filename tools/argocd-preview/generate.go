package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	log "github.com/sirupsen/logrus"
	kubejson "sigs.k8s.io/json"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers/template"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
)

// offline are the generators that need no network, by the names of their fields.
func offline(request *Request, tree *tree) map[string]generators.Generator {
	client := &objects{request: request}
	leaves := map[string]generators.Generator{
		"List":     generators.NewListGenerator(),
		"Clusters": generators.NewClusterGenerator(client, request.Namespace),
		"Git":      generators.NewGitGenerator(tree, request.Namespace),
	}
	nested := with(leaves, leaves)
	return with(leaves, nested)
}

// with adds matrix and merge over `inner` to `leaves`.
func with(leaves, inner map[string]generators.Generator) map[string]generators.Generator {
	all := map[string]generators.Generator{
		"Matrix": generators.NewMatrixGenerator(inner),
		"Merge":  generators.NewMergeGenerator(inner),
	}
	for name, generator := range leaves {
		all[name] = generator
	}
	return all
}

func generate(raw json.RawMessage, request *Request, tree *tree) (set Set) {
	set = Set{Applications: []argo.Application{}, Errors: []Problem{}, Dropped: []Problem{}}
	defer func() {
		if cause := recover(); cause != nil {
			set.Errors = append(set.Errors, Problem{Message: fmt.Sprintf("Argo CD's code failed: %v", cause)})
		}
	}()
	var appSet argo.ApplicationSet
	unknown, err := kubejson.UnmarshalStrict(raw, &appSet)
	if err != nil {
		set.Errors = append(set.Errors, Problem{Message: err.Error()})
		return set
	}
	set.Name = appSet.Name
	for _, field := range unknown {
		set.Dropped = append(set.Dropped, Problem{Message: field.Error()})
	}
	if appSet.Namespace == "" {
		appSet.Namespace = request.Namespace
	}
	known := offline(request, tree)
	for _, generator := range appSet.Spec.Generators {
		if name := unsupported(generator, known); name != "" {
			set.Errors = append(set.Errors, Problem{Message: fmt.Sprintf("the generator %s needs a network", name)})
		}
	}
	if len(set.Errors) > 0 {
		return set
	}
	watch := &watcher{set: &set}
	// Argo CD reports only the first error; `watch` notes each of them.
	applications, _, err := template.GenerateApplications(
		log.NewEntry(log.StandardLogger()), appSet, known, watch, &objects{request: request},
	)
	if err != nil && len(set.Errors) == 0 {
		set.Errors = append(set.Errors, Problem{Message: err.Error()})
	} else if err != nil && !watch.has(err) {
		set.Errors = append([]Problem{{Message: err.Error()}}, set.Errors...)
	}
	if strategy := appSet.Spec.Strategy; strategy != nil && strategy.Type == "RollingSync" && strategy.RollingSync != nil &&
		len(strategy.RollingSync.Steps) > 0 {
		disableAutomatedSync(applications)
	}
	set.Applications = append(set.Applications, applications...)
	set.Errors = append(set.Errors, validate(&appSet, applications, request)...)
	return set
}

// disableAutomatedSync does as the controller before it writes Applications of a rolling sync, which it syncs itself.
func disableAutomatedSync(applications []argo.Application) {
	for _, app := range applications {
		if app.Spec.SyncPolicy != nil && app.Spec.SyncPolicy.Automated != nil {
			app.Spec.SyncPolicy.Automated.Enabled = new(bool)
		}
	}
}

// unsupported names a generator that is not in `known`, also inside of matrix and merge.
func unsupported(generator any, known map[string]generators.Generator) string {
	value := reflect.Indirect(reflect.ValueOf(generator))
	for index := range value.NumField() {
		field := value.Type().Field(index)
		if field.Name == "Selector" || value.Field(index).Kind() != reflect.Pointer || value.Field(index).IsNil() {
			continue
		}
		if !strings.HasSuffix(field.Type.String(), "Generator") && field.Type.String() != "*v1.JSON" {
			continue
		}
		if _, ok := known[field.Name]; !ok {
			return field.Name
		}
	}
	for _, inner := range children(generator) {
		if name := unsupported(inner, known); name != "" {
			return name
		}
	}
	return ""
}

// children are the generators inside of a matrix or merge of the first level. One deeper is JSON of the same shape.
func children(generator any) []argo.ApplicationSetNestedGenerator {
	top, ok := generator.(argo.ApplicationSetGenerator)
	switch {
	case ok && top.Matrix != nil:
		return top.Matrix.Generators
	case ok && top.Merge != nil:
		return top.Merge.Generators
	}
	return nil
}

// validate makes the checks that the controller makes before it writes anything.
func validate(appSet *argo.ApplicationSet, applications []argo.Application, request *Request) []Problem {
	var problems []Problem
	names := map[string]bool{}
	client := &objects{request: request}
	for _, app := range applications {
		if names[app.Name] {
			problems = append(problems, Problem{
				Application: app.Name,
				Message:     fmt.Sprintf("ApplicationSet %s contains applications with duplicate name: %s", appSet.Name, app.Name),
			})
			continue
		}
		names[app.Name] = true
		if client.project(app.Spec.Project) == nil {
			problems = append(problems, Problem{
				Application: app.Name,
				Message:     fmt.Sprintf("application references project %s which does not exist", app.Spec.Project),
			})
		}
	}
	return problems
}

// watcher is Argo CD's renderer; it notes which parameter set failed, and keys of a patch that no field takes.
type watcher struct {
	utils.Render
	set  *Set
	last string // the name of the Application that is to be patched
	errs []error
}

func (w *watcher) has(err error) bool {
	for _, noted := range w.errs {
		if errors.Is(err, noted) || strings.Contains(err.Error(), noted.Error()) {
			return true
		}
	}
	return false
}

func (w *watcher) fail(params map[string]any, err error) {
	w.errs = append(w.errs, err)
	w.set.Errors = append(w.set.Errors, Problem{Path: origin(params), Message: err.Error()})
}

// RenderTemplateParams renders the template.
func (w *watcher) RenderTemplateParams(tmpl *argo.Application, policy *argo.ApplicationSetSyncPolicy, params map[string]any, goTemplate bool, options []string) (*argo.Application, error) {
	app, err := w.Render.RenderTemplateParams(tmpl, policy, params, goTemplate, options)
	if err != nil {
		w.fail(params, err)
		return nil, err
	}
	w.last = app.Name
	return app, nil
}

// Replace renders the patch.
func (w *watcher) Replace(tmpl string, params map[string]any, goTemplate bool, options []string) (string, error) {
	text, err := w.Render.Replace(tmpl, params, goTemplate, options)
	if err != nil {
		w.fail(params, err)
		return "", err
	}
	converted, err := utils.ConvertYAMLToJSON(text)
	if err != nil {
		w.fail(params, fmt.Errorf("the rendered templatePatch is not YAML: %w", err))
		return text, nil
	}
	var patch argo.Application
	unknown, err := kubejson.UnmarshalStrict([]byte(converted), &patch)
	if err != nil {
		w.fail(params, fmt.Errorf("invalid templatePatch: %w", err))
		return text, nil
	}
	for _, field := range unknown {
		w.drop(params, field.Error())
	}
	if patch.Spec.Project != "" {
		w.drop(params, "spec.project: a patch cannot change the project")
	}
	return text, nil
}

func (w *watcher) drop(params map[string]any, message string) {
	w.set.Dropped = append(w.set.Dropped, Problem{Application: w.last, Path: origin(params), Message: message})
}

// origin is the file or directory that a parameter set comes from, where a git generator made it.
func origin(params map[string]any) string {
	switch path := params["path"].(type) {
	case map[string]any:
		return strings.TrimPrefix(fmt.Sprintf("%v/%v", path["path"], either(path["filename"])), "/")
	case string:
		return strings.TrimPrefix(fmt.Sprintf("%v/%v", path, either(params["path.filename"])), "/")
	}
	return ""
}

func either(value any) any {
	if value == nil {
		return ""
	}
	return value
}
