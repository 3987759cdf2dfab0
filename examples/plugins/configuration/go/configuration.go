// Package configuration reads the JSON of a plugin's configuration, as nginx.conf and APISIX pass it.
package configuration

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// Read reads the configuration of the plugin context that runs. Errors are words for the operator.
func Read(config any) error {
	text, err := Text()
	if err != nil {
		return err
	}
	return Parse(text, config)
}

// Text is the configuration as it was written. The host does not find one that is empty.
func Text() ([]byte, error) {
	text, err := proxywasm.GetPluginConfiguration()
	if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
		return nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	return text, nil
}

// Parse reads what is written in JSON.
func Parse(text []byte, config any) error {
	if err := json.Unmarshal(escapeNewlines(text), config); err != nil {
		return fmt.Errorf("bad configuration: %w", err)
	}
	return nil
}

// Missing is what is wrong with a configuration that lacks a field.
func Missing(field string) error {
	return fmt.Errorf("bad configuration: missing field `%s`", field)
}

// In nginx.conf, as in the text that APISIX passes on, `\n` has become a newline by the time it gets here; JSON wants none
// within a string.
func escapeNewlines(text []byte) []byte {
	inString, afterBackslash := false, false
	escaped := make([]byte, 0, len(text))
	for _, b := range text {
		switch {
		case b == '\n' && inString:
			escaped = append(escaped, `\n`...)
		case b == '\r' && inString:
			escaped = append(escaped, `\r`...)
		case b == '\t' && inString:
			escaped = append(escaped, `\t`...)
		default:
			escaped = append(escaped, b)
		}
		if b == '"' && !afterBackslash {
			inString = !inString
		}
		afterBackslash = b == '\\' && !afterBackslash
	}
	return escaped
}
