/* The bit-fields of ngx_http_request_t, as the compiler that nginx is made for lays them out: see request_bits.rs. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#define GET(field) \
    unsigned ngx_bindings_request_##field(const ngx_http_request_t *r) { return r->field; }
#define SET(field) \
    void ngx_bindings_request_set_##field(ngx_http_request_t *r, unsigned value) { r->field = value; }

GET(blocked)
GET(buffered) SET(buffered)
GET(chunked)
GET(complex_uri)
GET(count) SET(count)
GET(header_only)
GET(header_sent)
GET(internal) SET(internal)
GET(keepalive) SET(keepalive)
GET(plus_in_uri) SET(plus_in_uri)
GET(quoted_uri) SET(quoted_uri)
GET(post_action)
SET(allow_ranges)
SET(expect_trailers)
SET(preserve_body)
SET(request_body_in_single_buf)
SET(single_range)
SET(uri_changed)
SET(valid_location)
SET(valid_unparsed_uri)
