// Command argocd-preview generates the Applications of ApplicationSets offline, with Argo CD's own code.
//
// It reads one Request as JSON from standard input and writes one Response as JSON to standard output. It opens no
// connection and reads no file of the repository: contents come with the request. Patterns of the git files generator
// are matched by `git ls-files`, as Argo CD's repo-server does, in an empty repository in a temporary directory.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	log "github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
)

// Request is what to generate from.
type Request struct {
	Namespace       string            `json:"namespace"`       // Argo CD's own
	ApplicationSets []json.RawMessage `json:"applicationSets"` // objects
	Projects        []argo.AppProject `json:"projects"`        // objects; `default` exists without being listed
	Clusters        []corev1.Secret   `json:"clusters"`        // cluster Secrets
	Repository      Repository        `json:"repository"`
	NewGlobbing     bool              `json:"newGlobbing"` // --enable-new-git-file-globbing
}

// Repository is the tree that the git generators look at; other repositories are an error.
type Repository struct {
	URLs  []string          `json:"urls"`  // each names this repository; empty: every URL does
	Files map[string]string `json:"files"` // path → content
	Paths []string          `json:"paths"` // further paths, whose content no generator may ask for
}

// Response is what came of it, a Set for each ApplicationSet, in order.
type Response struct {
	Sets []Set `json:"sets"`
}

// Set is what one ApplicationSet generates. With an error the controller leaves all of its Applications as they are.
type Set struct {
	Name         string             `json:"name"`
	Applications []argo.Application `json:"applications"`
	Errors       []Problem          `json:"errors"`
	Dropped      []Problem          `json:"dropped"` // keys that Argo CD ignores without a word
}

// Problem is a message about a parameter set: Path is its file, Application the name it had before the patch.
type Problem struct {
	Application string `json:"application,omitempty"`
	Path        string `json:"path,omitempty"`
	Message     string `json:"message"`
}

func main() {
	log.SetOutput(io.Discard)
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("Argo CD", version())
		return
	}
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// version is that of the Argo CD module this program was built with.
func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/argoproj/argo-cd/v3" {
			return module.Version
		}
	}
	return "unknown"
}

func run(in io.Reader, out io.Writer) error {
	var request Request
	if err := json.NewDecoder(in).Decode(&request); err != nil {
		return fmt.Errorf("cannot read the request: %w", err)
	}
	tree, err := newTree(request.Repository, request.NewGlobbing)
	if err != nil {
		return err
	}
	defer tree.close()
	response := Response{Sets: []Set{}}
	for _, raw := range request.ApplicationSets {
		response.Sets = append(response.Sets, generate(raw, &request, tree))
	}
	return json.NewEncoder(out).Encode(response)
}
