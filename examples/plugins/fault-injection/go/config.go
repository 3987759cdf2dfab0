package main

import (
	"fmt"

	configuration "plugins/configuration/go"
)

// Which answer, and for how many requests.
type config struct {
	HTTPStatus *int64 `json:"http_status"`
	Body       string `json:"body"`
	// Share of the requests to answer, 0 to 100.
	Percentage int64 `json:"percentage"`
}

func defaults() config {
	return config{Percentage: 100}
}

func (c *config) check() error {
	if c.HTTPStatus == nil {
		return configuration.Missing("http_status")
	}
	if *c.HTTPStatus < 200 || *c.HTTPStatus > 599 {
		return fmt.Errorf("bad http_status %d: want 200 to 599", *c.HTTPStatus)
	}
	if c.Percentage < 0 || c.Percentage > 100 {
		return fmt.Errorf("bad percentage %d: want 0 to 100", c.Percentage)
	}
	return nil
}
