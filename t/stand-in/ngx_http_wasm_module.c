/*
 * Stands where APISIX runtimes have their Wasm module in C: the same module name, the same directive, the same names of
 * functions, all linked into nginx. None of it is to be reached while the module under test is loaded, so whatever is
 * reached writes an [alert] line, which fails every test.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static char *ngx_http_wasm_vm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_command_t  ngx_http_wasm_commands[] = {

    { ngx_string("wasm_vm"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_wasm_vm,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_wasm_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_wasm_module = {
    NGX_MODULE_V1,
    &ngx_http_wasm_module_ctx,             /* module context */
    ngx_http_wasm_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_wasm_vm(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_conf_log_error(NGX_LOG_ALERT, cf, 0,
                       "stand-in: the module in C was given \"wasm_vm\"");
    return NGX_CONF_OK;
}


static void
ngx_http_wasm_reached(const char *function)
{
    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "stand-in: %s() of the module in C was called", function);
}


/* What its Lua library calls. */

void *
ngx_http_wasm_load_plugin(const char *name, size_t name_len, const char *code,
    size_t size)
{
    ngx_http_wasm_reached("ngx_http_wasm_load_plugin");
    return NULL;
}


void
ngx_http_wasm_unload_plugin(void *plugin)
{
    ngx_http_wasm_reached("ngx_http_wasm_unload_plugin");
}


void *
ngx_http_wasm_on_configure(void *plugin, const char *conf, size_t size)
{
    ngx_http_wasm_reached("ngx_http_wasm_on_configure");
    return NULL;
}


void
ngx_http_wasm_delete_plugin_ctx(void *ctx)
{
    ngx_http_wasm_reached("ngx_http_wasm_delete_plugin_ctx");
}


ngx_int_t
ngx_http_wasm_on_http(void *ctx, ngx_http_request_t *r, int type,
    const u_char *body, size_t size, int end_of_body)
{
    ngx_http_wasm_reached("ngx_http_wasm_on_http");
    return NGX_ERROR;
}


ngx_str_t *
ngx_http_wasm_fetch_local_body(ngx_http_request_t *r)
{
    ngx_http_wasm_reached("ngx_http_wasm_fetch_local_body");
    return NULL;
}


ngx_int_t
ngx_http_wasm_call_max_headers_count(ngx_http_request_t *r)
{
    ngx_http_wasm_reached("ngx_http_wasm_call_max_headers_count");
    return 0;
}


void
ngx_http_wasm_call_get(ngx_http_request_t *r, ngx_str_t *method,
    ngx_str_t *scheme, ngx_str_t *host, ngx_str_t *path, void *headers,
    ngx_str_t *body, int32_t *timeout)
{
    ngx_http_wasm_reached("ngx_http_wasm_call_get");
}


ngx_int_t
ngx_http_wasm_on_http_call_resp(void *ctx, ngx_http_request_t *r,
    void *headers, ngx_uint_t n_header, ngx_str_t *body)
{
    ngx_http_wasm_reached("ngx_http_wasm_on_http_call_resp");
    return NGX_ERROR;
}
