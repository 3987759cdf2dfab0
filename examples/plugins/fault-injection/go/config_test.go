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

func TestEveryRequestGetsTheAnswerUnlessAPercentageIsGiven(t *testing.T) {
	c, err := parse(t, `{"http_status": 401, "body": "HIT\n"}`)
	if err != nil || *c.HTTPStatus != 401 || c.Body != "HIT\n" || c.Percentage != 100 {
		t.Errorf("got %+v, %v", c, err)
	}
	c, err = parse(t, `{"http_status": 503, "percentage": 0}`)
	if err != nil || c.Body != "" || c.Percentage != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestWhatIsRefusedIsNamed(t *testing.T) {
	for json, want := range map[string]string{
		`{}`:                                      "bad configuration: missing field `http_status`",
		`{"http_status": 199}`:                    "bad http_status 199: want 200 to 599",
		`{"http_status": 600}`:                    "bad http_status 600: want 200 to 599",
		`{"http_status": 401, "percentage": -1}`:  "bad percentage -1: want 0 to 100",
		`{"http_status": 401, "percentage": 101}`: "bad percentage 101: want 0 to 100",
	} {
		if _, err := parse(t, json); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", json, err, want)
		}
	}
}
