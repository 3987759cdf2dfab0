/* The bit-fields of ngx_variable_value_t. bindgen's accessors read 28 bits in a loop of 28 turns. */

#include <ngx_config.h>
#include <ngx_core.h>

unsigned ngx_bindings_variable_has_value(const ngx_variable_value_t *v) { return v->valid && !v->not_found; }

unsigned ngx_bindings_variable_len(const ngx_variable_value_t *v) { return v->len; }

void ngx_bindings_variable_set_not_found(ngx_variable_value_t *v) {
    v->valid = 0;
    v->no_cacheable = 0;
    v->not_found = 1;
}

void ngx_bindings_variable_set(ngx_variable_value_t *v, unsigned len, u_char *data) {
    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = data;
}
