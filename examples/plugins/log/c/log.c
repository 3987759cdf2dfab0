// log writes one line to the error log for every request: which contexts it runs in, and their configuration.
//
// Written without an SDK: what this file imports and exports is all that Proxy-Wasm asks of such a plugin. A callback that it
// does not export is not called.

#define _GNU_SOURCE // asprintf
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

// Of the ABI's numbers, those in use here.
enum status { STATUS_OK = 0, STATUS_NOT_FOUND = 1 };
enum log_level { LOG_WARN = 3 };
enum buffer_type { BUFFER_PLUGIN_CONFIGURATION = 7 };
enum action { ACTION_CONTINUE = 0 };

IMPORT(proxy_log)
enum status proxy_log(enum log_level level, const char *text, size_t length);

// *bytes comes from proxy_on_memory_allocate, and is the plugin's to free.
IMPORT(proxy_get_buffer_bytes)
enum status proxy_get_buffer_bytes(enum buffer_type type, size_t start, size_t max_length, char **bytes, size_t *length);

// A plugin context, or an HTTP context, which belongs to one.
struct context {
    uint32_t id;
    struct context *plugin; // NULL: this is one itself
    char *conf;
    size_t conf_length;
    struct context *next;
};

// Newest first, because requests are shorter than plugin contexts.
static struct context *contexts;

static struct context *find(uint32_t id) {
    struct context *context = contexts;
    while (context && context->id != id) {
        context = context->next;
    }
    return context;
}

// Which version of the ABI this is written for. Never called: its name says it.
EXPORT(proxy_abi_version_0_2_1)
void proxy_abi_version_0_2_1(void) {}

EXPORT(proxy_on_memory_allocate)
void *proxy_on_memory_allocate(size_t length) { return malloc(length); }

EXPORT(proxy_on_context_create)
void proxy_on_context_create(uint32_t id, uint32_t plugin_id) {
    struct context *context = calloc(1, sizeof *context);
    if (!context) {
        abort();
    }
    context->id = id;
    context->plugin = plugin_id ? find(plugin_id) : NULL;
    context->next = contexts;
    contexts = context;
}

// Whether the configuration is one that the plugin can work with.
EXPORT(proxy_on_configure)
bool proxy_on_configure(uint32_t id, size_t length) {
    (void)length;
    struct context *plugin = find(id);
    if (!plugin) {
        return false;
    }
    // The host does not find an empty one.
    enum status status =
        proxy_get_buffer_bytes(BUFFER_PLUGIN_CONFIGURATION, 0, SIZE_MAX, &plugin->conf, &plugin->conf_length);
    return status == STATUS_OK || status == STATUS_NOT_FOUND;
}

EXPORT(proxy_on_request_headers)
enum action proxy_on_request_headers(uint32_t id, uint32_t count, bool end_of_stream) {
    (void)count, (void)end_of_stream;
    struct context *request = find(id);
    if (!request || !request->plugin) {
        return ACTION_CONTINUE;
    }
    struct context *plugin = request->plugin;
    char *line;
    int length = asprintf(&line, "run plugin ctx %u with conf %.*s in http ctx %u", plugin->id, (int)plugin->conf_length,
                          plugin->conf ? plugin->conf : "", id);
    if (length >= 0) {
        proxy_log(LOG_WARN, line, length);
        free(line);
    }
    return ACTION_CONTINUE;
}

EXPORT(proxy_on_delete)
void proxy_on_delete(uint32_t id) {
    struct context **link = &contexts;
    while (*link && (*link)->id != id) {
        link = &(*link)->next;
    }
    struct context *gone = *link;
    if (gone) {
        *link = gone->next;
        free(gone->conf);
        free(gone);
    }
}
