// calico-schemas prints the OpenAPI definitions of projectcalico.org/v3, by name, as Calico's own API server has them.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/projectcalico/api/pkg/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

func main() {
	found := map[string]spec.Schema{}
	name := func(path string) spec.Ref { return spec.MustCreateRef("#/" + path) }
	for path, definition := range openapi.GetOpenAPIDefinitions(name) {
		found[path] = definition.Schema
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
