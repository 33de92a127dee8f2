package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/git"
)

const emptyBlob = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

// tree answers the git generators from the files of the request.
type tree struct {
	repository Repository
	paths      []string
	scratch    string // a Git repository whose index names the paths; it holds no contents
	globbing   bool   // the newer, safer one
}

func newTree(repository Repository, globbing bool) (*tree, error) {
	paths := slices.Clone(repository.Paths)
	for name := range repository.Files {
		paths = append(paths, name)
	}
	sort.Strings(paths)
	paths = slices.Compact(paths)
	scratch, err := os.MkdirTemp("", "argocd-preview-")
	if err != nil {
		return nil, err
	}
	made := &tree{repository: repository, paths: paths, scratch: scratch, globbing: globbing}
	if _, err := made.git("", "init", "-q", "."); err != nil {
		made.close()
		return nil, err
	}
	var index strings.Builder
	for _, name := range paths {
		fmt.Fprintf(&index, "100644 %s\t%s\x00", emptyBlob, name)
	}
	if _, err := made.git(index.String(), "update-index", "-z", "--index-info"); err != nil {
		made.close()
		return nil, err
	}
	return made, nil
}

func (t *tree) close() {
	_ = os.RemoveAll(t.scratch)
}

func (t *tree) git(input string, arguments ...string) (string, error) {
	command := exec.Command("git", arguments...)
	command.Dir = t.scratch
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.scratch, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
	command.Stdin = strings.NewReader(input)
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", arguments[0], err, strings.TrimSpace(problem.String()))
	}
	return string(out), nil
}

func (t *tree) check(url string) error {
	for _, known := range t.repository.URLs {
		if git.SameURL(url, known) {
			return nil
		}
	}
	if len(t.repository.URLs) == 0 {
		return nil
	}
	return fmt.Errorf("the files of the repository %s are not here, only those of %s", url, strings.Join(t.repository.URLs, ", "))
}

// GetFiles returns the files that a pattern of a git files generator matches.
func (t *tree) GetFiles(_ context.Context, url, _, _, pattern string, _ bool, _ *argo.SourceIntegrity) (map[string][]byte, error) {
	if err := t.check(url); err != nil {
		return nil, err
	}
	names, err := t.match(pattern)
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, name := range names {
		content, ok := t.repository.Files[name]
		if !ok {
			return nil, fmt.Errorf("%s: the content of this file is not in the request", name)
		}
		found[name] = []byte(content)
	}
	return found, nil
}

func (t *tree) match(pattern string) ([]string, error) {
	if !t.globbing {
		out, err := t.git("", "ls-files", "--full-name", "-z", "--", pattern)
		if err != nil {
			return nil, err
		}
		return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), nil
	}
	var names []string
	for _, name := range t.paths {
		matched, err := doublestar.Match(filepath.Clean(pattern), name)
		if err != nil {
			return nil, err
		}
		if matched {
			names = append(names, name)
		}
	}
	return names, nil
}

// GetDirectories returns all directories that are not hidden.
func (t *tree) GetDirectories(_ context.Context, url, _, _ string, _ bool, _ *argo.SourceIntegrity) ([]string, error) {
	if err := t.check(url); err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, name := range t.paths {
		for directory := path.Dir(name); directory != "."; directory = path.Dir(directory) {
			all[directory] = true
		}
	}
	var found []string
	for directory := range all {
		if !strings.HasPrefix(directory, ".") && !strings.Contains(directory, "/.") {
			found = append(found, directory)
		}
	}
	sort.Strings(found)
	return found, nil
}

// objects is a Kubernetes client that knows the projects and cluster Secrets of the request.
type objects struct {
	client.Client

	request *Request
}

func (o *objects) project(name string) *argo.AppProject {
	for index := range o.request.Projects {
		if o.request.Projects[index].Name == name {
			return &o.request.Projects[index]
		}
	}
	if name == argo.DefaultAppProjectName {
		return &argo.AppProject{}
	}
	return nil
}

// Get returns a project.
func (o *objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	target, ok := into.(*argo.AppProject)
	if !ok {
		return fmt.Errorf("%T is not available offline", into)
	}
	found := o.project(key.Name)
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: "argoproj.io", Resource: "appprojects"}, key.Name)
	}
	found.DeepCopyInto(target)
	return nil
}

// List returns the cluster Secrets that a selector matches.
func (o *objects) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	target, ok := into.(*corev1.SecretList)
	if !ok {
		return errors.New("only cluster Secrets are available offline")
	}
	var wanted client.ListOptions
	wanted.ApplyOptions(options)
	for _, secret := range o.request.Clusters {
		if wanted.LabelSelector == nil || wanted.LabelSelector.Matches(labels.Set(secret.Labels)) {
			target.Items = append(target.Items, withData(secret))
		}
	}
	return nil
}

// withData moves stringData to data, as the API server does.
func withData(secret corev1.Secret) corev1.Secret {
	copied := *secret.DeepCopy()
	for name, value := range copied.StringData {
		if copied.Data == nil {
			copied.Data = map[string][]byte{}
		}
		copied.Data[name] = []byte(value)
	}
	copied.StringData = nil
	return copied
}
