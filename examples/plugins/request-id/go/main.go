// request-id gives each request that has no x-request-id one, and the response the same.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	generator "math/rand/v2"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

const name = "x-request-id"

// It is not the generator behind the functions of math/rand, which cannot be seeded anew.
var random = generator.NewChaCha8(seed())

func main() {}

func init() {
	proxywasm.SetHttpContext(func(uint32) types.HttpContext { return &request{} })
}

// The host calls this in each instance that was restored from an image. Its generator is in the state that it had in the
// image, as in every other one.
//
//go:wasmexport proxy_wasm_on_restored
func onRestored() {
	random.Seed(seed())
}

// seed returns random numbers of the host's.
func seed() (seed [32]byte) {
	// It does not fail: the program ends where there are none.
	_, _ = rand.Read(seed[:])
	return seed
}

func newID() string {
	var id [16]byte
	_, _ = random.Read(id[:])
	return hex.EncodeToString(id[:])
}

type request struct {
	types.DefaultHttpContext
	id string
}

func (r *request) OnHttpRequestHeaders(int, bool) types.Action {
	id, err := proxywasm.GetHttpRequestHeader(name)
	if errors.Is(err, types.ErrorStatusNotFound) {
		id = newID()
		err = proxywasm.AddHttpRequestHeader(name, id)
	}
	if err != nil {
		proxywasm.LogErrorf("request-id: %v", err)
	}
	r.id = id
	return types.ActionContinue
}

func (r *request) OnHttpResponseHeaders(int, bool) types.Action {
	if err := proxywasm.ReplaceHttpResponseHeader(name, r.id); err != nil {
		proxywasm.LogErrorf("request-id: %v", err)
	}
	return types.ActionContinue
}
