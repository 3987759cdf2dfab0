/* What has bit-fields, or other arguments in other versions, of a request's body: see incoming.rs. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

unsigned ngx_bindings_body_last_saved(const ngx_http_request_body_t *rb) { return rb->last_saved; }

void ngx_bindings_body_need_buffering(ngx_http_request_body_t *rb) { rb->filter_need_buffering = 1; }

/* Makes the parser of chunked bodies expect `rest` bytes of a chunk's data. */
ngx_int_t ngx_bindings_body_in_chunk(ngx_http_request_t *r, off_t rest)
{
    u_char               line[NGX_OFF_T_LEN + sizeof(CRLF)];
    ngx_buf_t            b;
    ngx_http_chunked_t  *chunked;

    chunked = ngx_pcalloc(r->pool, sizeof(ngx_http_chunked_t));
    if (chunked == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&b, sizeof(ngx_buf_t));
    b.pos = line;
    b.last = ngx_sprintf(line, "%xO" CRLF, rest);

#if (nginx_version >= 1027002)
    if (ngx_http_parse_chunked(r, &b, chunked, 0) != NGX_AGAIN) {
#else
    if (ngx_http_parse_chunked(r, &b, chunked) != NGX_AGAIN) {
#endif
        return NGX_ERROR;
    }

    r->request_body->chunked = chunked;

    return NGX_OK;
}

/* Lets HTTP/2 skip what still comes of the body. */
void ngx_bindings_body_skip(ngx_http_request_t *r)
{
#if (NGX_HTTP_V2)
    if (r->stream) {
        r->stream->skip_data = 1;
    }
#else
    (void) r;
#endif
}
