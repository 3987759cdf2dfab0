// c-upper makes capitals of the small letters in both bodies of a request, piece by piece. Written without an SDK, as
// examples/plugins/log/c is.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

// Of the ABI's numbers, those in use here.
enum status { STATUS_OK = 0 };
enum buffer_type { BUFFER_REQUEST_BODY = 0, BUFFER_RESPONSE_BODY = 1 };
enum action { ACTION_CONTINUE = 0 };

// *bytes comes from proxy_on_memory_allocate, and is the plugin's to free.
IMPORT(proxy_get_buffer_bytes)
enum status proxy_get_buffer_bytes(enum buffer_type type, size_t start, size_t max_length, char **bytes, size_t *length);

IMPORT(proxy_set_buffer_bytes)
enum status proxy_set_buffer_bytes(enum buffer_type type, size_t start, size_t length, const char *bytes, size_t new_length);

EXPORT(proxy_abi_version_0_2_1)
void proxy_abi_version_0_2_1(void) {}

EXPORT(proxy_on_memory_allocate)
void *proxy_on_memory_allocate(size_t length) { return malloc(length); }

static enum action capitals(enum buffer_type type, size_t size) {
    char *bytes = NULL;
    size_t length = 0;
    if (size == 0 || proxy_get_buffer_bytes(type, 0, size, &bytes, &length) != STATUS_OK) {
        return ACTION_CONTINUE;
    }
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] >= 'a' && bytes[i] <= 'z') {
            bytes[i] -= 'a' - 'A';
        }
    }
    if (proxy_set_buffer_bytes(type, 0, size, bytes, length) != STATUS_OK) {
        abort();
    }
    free(bytes);
    return ACTION_CONTINUE;
}

EXPORT(proxy_on_request_body)
enum action proxy_on_request_body(uint32_t id, size_t size, uint32_t end_of_stream) {
    (void)id, (void)end_of_stream;
    return capitals(BUFFER_REQUEST_BODY, size);
}

EXPORT(proxy_on_response_body)
enum action proxy_on_response_body(uint32_t id, size_t size, uint32_t end_of_stream) {
    (void)id, (void)end_of_stream;
    return capitals(BUFFER_RESPONSE_BODY, size);
}
