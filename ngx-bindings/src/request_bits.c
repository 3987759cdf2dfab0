/* The bit-fields of ngx_http_request_t, in the layout of nginx's compiler: see request_bits.rs. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#define GET(field) \
    unsigned ngx_bindings_request_##field(const ngx_http_request_t *r) { return r->field; }
#define SET(field) \
    void ngx_bindings_request_set_##field(ngx_http_request_t *r, unsigned value) { r->field = value; }

GET(background)
GET(blocked)
GET(buffered) SET(buffered)
GET(chunked)
GET(complex_uri)
GET(count) SET(count)
GET(discard_body)
GET(done)
SET(error_page)
GET(filter_finalize)
GET(filter_need_in_memory)
GET(filter_need_temporary)
GET(header_only)
GET(header_sent)
GET(internal) SET(internal)
GET(keepalive) SET(keepalive)
SET(lingering_close)
GET(plus_in_uri) SET(plus_in_uri)
GET(quoted_uri) SET(quoted_uri)
GET(post_action)
GET(main_filter_need_in_memory)
SET(allow_ranges)
SET(expect_trailers)
SET(preserve_body)
GET(reading_body)
GET(request_body_file_group_access) SET(request_body_file_group_access)
SET(request_body_file_log_level)
GET(request_body_in_clean_file) SET(request_body_in_clean_file)
GET(request_body_in_file_only) SET(request_body_in_file_only)
GET(request_body_no_buffering) SET(request_body_no_buffering)
GET(request_body_in_persistent_file) SET(request_body_in_persistent_file)
SET(single_range)
SET(uri_changed)
SET(valid_location)
SET(valid_unparsed_uri)
