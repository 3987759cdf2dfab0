package main

import (
	"fmt"
	"net/url"

	configuration "plugins/configuration/go"
)

// Which service is asked, and which fields go where.
type config struct {
	URI string `json:"uri"`
	// Milliseconds.
	Timeout int64 `json:"timeout"`
	// Of the request, for the service.
	RequestHeaders []string `json:"request_headers"`
	// Of the answer, for the upstream.
	UpstreamHeaders []string `json:"upstream_headers"`
	// Of the answer, for a client that is refused.
	ClientHeaders []string `json:"client_headers"`

	service service
}

// What a URI says.
type service struct {
	scheme, authority string
	// With the query.
	path string
}

func defaults() config {
	return config{Timeout: 3000}
}

func (c *config) check() error {
	if c.URI == "" {
		return configuration.Missing("uri")
	}
	if c.Timeout < 1 || c.Timeout > 60000 {
		return fmt.Errorf("bad timeout %d: want 1 to 60000", c.Timeout)
	}
	uri, err := url.Parse(c.URI)
	if err != nil || (uri.Scheme != "http" && uri.Scheme != "https") || uri.Host == "" {
		return fmt.Errorf("bad uri \"%s\"", c.URI)
	}
	c.service = service{scheme: uri.Scheme, authority: uri.Host, path: uri.RequestURI()}
	return nil
}
