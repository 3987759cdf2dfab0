package main

import (
	"testing"

	configuration "plugins/configuration/go"
)

func parse(t *testing.T, json string) (config, error) {
	t.Helper()
	c := defaults()
	if err := configuration.Parse([]byte(json), &c); err != nil {
		t.Fatal(err)
	}
	return c, c.check()
}

func TestAURIIsEnough(t *testing.T) {
	c, err := parse(t, `{"uri": "http://127.0.0.1:1984/auth"}`)
	if err != nil || c.service.authority != "127.0.0.1:1984" || c.Timeout != 3000 || len(c.RequestHeaders) != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestAURIHasASchemeAHostAndMaybeAPath(t *testing.T) {
	for uri, want := range map[string]service{
		"http://auth":           {"http", "auth", "/"},
		"https://a:8443/b?c=/d": {"https", "a:8443", "/b?c=/d"},
		"http://[::1]:80?q":     {"http", "[::1]:80", "/?q"},
	} {
		if c, err := parse(t, `{"uri": "`+uri+`"}`); err != nil || c.service != want {
			t.Errorf("%s: got %+v, %v", uri, c.service, err)
		}
	}
}

func TestWhatIsRefusedIsNamed(t *testing.T) {
	for json, want := range map[string]string{
		`{}`:                                    "bad configuration: missing field `uri`",
		`{"uri": "auth"}`:                       `bad uri "auth"`,
		`{"uri": "ftp://a/"}`:                   `bad uri "ftp://a/"`,
		`{"uri": "http:///path"}`:               `bad uri "http:///path"`,
		`{"uri": "http://a", "timeout": 0}`:     "bad timeout 0: want 1 to 60000",
		`{"uri": "http://a", "timeout": 60001}`: "bad timeout 60001: want 1 to 60000",
	} {
		if _, err := parse(t, json); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", json, err, want)
		}
	}
}
