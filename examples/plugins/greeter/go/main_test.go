package main

import (
	"testing"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func TestTheGreetingIsText(t *testing.T) {
	if text, err := greeting([]byte("good day"), nil); err != nil || text != "good day" {
		t.Errorf("got %q, %v", text, err)
	}
	for _, bad := range []struct {
		configuration []byte
		err           error
	}{
		{nil, types.ErrorStatusNotFound},
		{[]byte{0xff}, nil},
	} {
		if text, err := greeting(bad.configuration, bad.err); err == nil {
			t.Errorf("got %q", text)
		}
	}
}
