// boutique stands in for every service of Online Boutique. Like them it listens on $PORT and calls those whose
// addresses are in variables named ..._ADDR: asked for a page, a service asks all of them for a page, and its answer says
// what came of it. As a command it asks from inside a pod:
//
//	boutique call 10s cartservice.boutique-shop:7070 10.244.1.7:7070
//	boutique page 10s frontend.boutique-web:80
//	boutique resolve 5s cartservice.boutique-shop
//	boutique file /proc/self/status
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// hidden is a port that no service of the shop has: a policy that opens one port must not open this one.
const hidden = "9999"

// answer is what a service says of itself and of those that it called.
type answer struct {
	Service string   `json:"service"`
	Calls   []result `json:"calls,omitempty"`
}

// result is what came of one call: open, refused, blocked (nothing came back), unresolved or failed.
type result struct {
	To     string  `json:"to"`
	Result string  `json:"result"`
	Detail string  `json:"detail,omitempty"`
	Answer *answer `json:"answer,omitempty"`
}

func main() {
	switch arguments := os.Args[1:]; {
	case len(arguments) == 0:
		fail(serve())
	case len(arguments) > 2 && arguments[0] == "call":
		print(arguments[1], func(ctx context.Context) any { return calls(ctx, arguments[2:], "/") })
	case len(arguments) > 2 && arguments[0] == "page":
		print(arguments[1], func(ctx context.Context) any { return calls(ctx, arguments[2:], "/page") })
	case len(arguments) == 3 && arguments[0] == "resolve":
		print(arguments[1], func(ctx context.Context) any { return resolve(ctx, arguments[2]) })
	case len(arguments) == 2 && arguments[0] == "file":
		content, err := os.ReadFile(arguments[1])
		fail(err)
		os.Stdout.Write(content)
	default:
		fail(fmt.Errorf("unknown arguments: %s", strings.Join(arguments, " ")))
	}
}

func print(timeout string, ask func(context.Context) any) {
	limit, err := time.ParseDuration(timeout)
	fail(err)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	fail(json.NewEncoder(os.Stdout).Encode(ask(ctx)))
}

func serve() error {
	errs := make(chan error)
	listening := 0
	for _, port := range []string{os.Getenv("PORT"), hidden} {
		if port != "" {
			listening++
			go func() { errs <- http.ListenAndServe(os.Getenv("ADDRESS")+":"+port, http.HandlerFunc(handle)) }()
		}
	}
	if os.Getenv("CLIENT") != "" { // the load generator asks by itself
		go func() {
			for range time.Tick(5 * time.Second) {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				calls(ctx, callees(), "/page")
				cancel()
			}
		}()
	}
	return <-errs
}

func handle(writer http.ResponseWriter, request *http.Request) {
	said := answer{Service: os.Getenv("SERVICE")}
	if request.URL.Path == "/page" {
		said.Calls = calls(request.Context(), callees(), "/page")
	}
	writer.Header().Set("Content-Type", "application/json")
	json.NewEncoder(writer).Encode(said)
}

// callees are the addresses in the environment that the shop's own manifests put there; kubelet adds one for each
// Service of the namespace, which this service need not call.
func callees() []string {
	var found []string
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasSuffix(name, "_ADDR") && !strings.HasSuffix(name, "_TCP_ADDR") {
			found = append(found, value)
		}
	}
	sort.Strings(found)
	return found
}

// calls makes them all at the same time.
func calls(ctx context.Context, targets []string, path string) []result {
	results := make([]result, len(targets))
	var all sync.WaitGroup
	for number, target := range targets {
		all.Go(func() { results[number] = call(ctx, target, path) })
	}
	all.Wait()
	return results
}

func call(ctx context.Context, target, path string) result {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+path, nil)
	if err != nil {
		return result{To: target, Result: "failed", Detail: err.Error()}
	}
	response, err := client.Do(request)
	if err != nil {
		return result{To: target, Result: kind(err), Detail: err.Error()}
	}
	defer response.Body.Close()
	said := &answer{}
	if err := json.NewDecoder(response.Body).Decode(said); err != nil {
		return result{To: target, Result: "failed", Detail: err.Error()}
	}
	return result{To: target, Result: "open", Answer: said}
}

func resolve(ctx context.Context, name string) result {
	found, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return result{To: name, Result: "unresolved", Detail: err.Error()}
	}
	return result{To: name, Result: "open", Detail: strings.Join(found, " ")}
}

// kind tells apart what keeps a call from succeeding. Whoever sees neither an answer nor a refusal is blocked.
func kind(err error) string {
	var unresolved *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &unresolved):
		return "unresolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "blocked"
	}
	return "failed"
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
