package configuration

import (
	"slices"
	"strings"
	"testing"
)

func TestANewlineMayStandInAText(t *testing.T) {
	var texts []string
	err := Parse([]byte("[\n\"\\\"HIT\\\"\n\"]"), &texts)
	if err != nil || !slices.Equal(texts, []string{"\"HIT\"\n"}) {
		t.Errorf("got %q, %v", texts, err)
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	var text string
	if err := Parse(nil, &text); err == nil || !strings.HasPrefix(err.Error(), "bad configuration: ") {
		t.Errorf("got %v", err)
	}
}
