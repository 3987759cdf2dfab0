/* The peers of nginx's balancers, which have locks where the upstream has a zone; and a peer that is chosen for one request. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

/* The upstream that the location passes requests to, if the configuration names it: the configuration of each of these modules
   begins by an ngx_http_upstream_conf_t, and that by the upstream. */
ngx_http_upstream_srv_conf_t *ngx_bindings_upstream_of(ngx_http_request_t *r) {
    static const char *const names[] = { "ngx_http_proxy_module", "ngx_http_grpc_module", "ngx_http_fastcgi_module",
        "ngx_http_uwsgi_module", "ngx_http_scgi_module" };
    for (ngx_uint_t i = 0; ngx_cycle->modules[i]; i++) {
        ngx_module_t *module = ngx_cycle->modules[i];
        if (module->type != NGX_HTTP_MODULE || module->name == NULL) {
            continue;
        }
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
            if (ngx_strcmp(module->name, names[n]) == 0) {
                ngx_http_upstream_conf_t *conf = r->loc_conf[module->ctx_index];
                if (conf != NULL && conf->upstream != NULL) {
                    return conf->upstream;
                }
            }
        }
    }
    return NULL;
}

/* Other balancers than nginx's may keep something else there. */
static ngx_http_upstream_rr_peers_t *peers_of(ngx_http_upstream_srv_conf_t *us) {
    ngx_http_upstream_rr_peers_t *peers = us->peer.data;
    if (peers == NULL || peers->name == &us->host) {
        return peers;
    }
#if (NGX_HTTP_UPSTREAM_ZONE)
    if (us->shm_zone != NULL && us->shm_zone->shm.addr != NULL && peers->shpool == (ngx_slab_pool_t *) us->shm_zone->shm.addr) {
        return peers;
    }
#endif
    return NULL;
}

static ngx_int_t is_healthy(ngx_http_upstream_rr_peer_t *peer) {
    ngx_int_t has_failed = peer->max_fails != 0 && peer->fails >= peer->max_fails
        && ngx_time() - peer->checked <= peer->fail_timeout;
    return !peer->down && !has_failed;
}

typedef void (*ngx_bindings_each_peer)(void *data, const struct sockaddr *address, socklen_t len, ngx_uint_t weight,
    ngx_int_t is_healthy, ngx_int_t is_backup);

/* Calls `each` for the peers, under their locks. Returns 0 if they cannot be known. */
ngx_int_t ngx_bindings_upstream_peers(ngx_http_upstream_srv_conf_t *us, ngx_bindings_each_peer each, void *data) {
    ngx_http_upstream_rr_peers_t *peers = peers_of(us);
    if (peers == NULL) {
        return 0;
    }
    for (ngx_int_t is_backup = 0; peers != NULL; peers = peers->next, is_backup = 1) {
        ngx_http_upstream_rr_peers_rlock(peers);
        for (ngx_http_upstream_rr_peer_t *peer = peers->peer; peer != NULL; peer = peer->next) {
            each(data, peer->sockaddr, peer->socklen, peer->weight, is_healthy(peer), is_backup);
        }
        ngx_http_upstream_rr_peers_unlock(peers);
    }
    return 1;
}

/* A peer that is chosen for one request, and what the upstream's balancer has set for it. */
typedef struct {
    ngx_http_upstream_srv_conf_t *upstream;
    struct sockaddr *sockaddr;
    socklen_t socklen;
    ngx_str_t name;
    ngx_int_t is_used;
    void *data;
    ngx_event_get_peer_pt get;
    ngx_event_free_peer_pt free;
    ngx_event_notify_peer_pt notify;
#if (NGX_SSL || NGX_COMPAT)
    ngx_event_set_peer_session_pt set_session;
    ngx_event_save_peer_session_pt save_session;
#endif
} chosen_t;

static void begin_try(ngx_http_upstream_rr_peer_t *peer, ngx_log_t *log) {
    (void) log;
    if (ngx_time() - peer->checked > peer->fail_timeout) {
        peer->checked = ngx_time();
    }
}

static void count_success(ngx_http_upstream_rr_peer_t *peer, ngx_log_t *log) {
    (void) log;
    if (peer->accessed < peer->checked) {
        peer->fails = 0;
    }
}

static void count_failure(ngx_http_upstream_rr_peer_t *peer, ngx_log_t *log) {
    peer->fails++;
    peer->accessed = peer->checked = ngx_time();
    if (peer->max_fails) {
        peer->effective_weight -= peer->weight / peer->max_fails;
        if (peer->fails >= peer->max_fails) {
            ngx_log_error(NGX_LOG_WARN, log, 0, "upstream server temporarily disabled");
        }
    }
    if (peer->effective_weight < 0) {
        peer->effective_weight = 0;
    }
}

/* Notes what happens to the chosen peer as nginx's balancers do, which count no failures of a server that is alone. */
static void note(chosen_t *chosen, void (*how)(ngx_http_upstream_rr_peer_t *peer, ngx_log_t *log), ngx_log_t *log) {
    for (ngx_http_upstream_rr_peers_t *peers = peers_of(chosen->upstream); peers != NULL; peers = peers->next) {
        ngx_http_upstream_rr_peers_rlock(peers);
        for (ngx_http_upstream_rr_peer_t *peer = peers->single ? NULL : peers->peer; peer != NULL; peer = peer->next) {
            if (ngx_cmp_sockaddr(peer->sockaddr, peer->socklen, chosen->sockaddr, chosen->socklen, 1) == NGX_OK) {
                ngx_http_upstream_rr_peer_lock(peers, peer);
                how(peer, log);
                ngx_http_upstream_rr_peer_unlock(peers, peer);
            }
        }
        ngx_http_upstream_rr_peers_unlock(peers);
    }
}

/* Gets a peer of the balancer, which does not know that the chosen one has been tried, and may name it again. */
static ngx_int_t get_another(ngx_peer_connection_t *pc, chosen_t *chosen) {
    ngx_uint_t tries = pc->tries;
    for (ngx_uint_t left = tries;; left--) {
        ngx_int_t rc = pc->get(pc, pc->data);
        if (rc != NGX_OK || left == 0
            || ngx_cmp_sockaddr(pc->sockaddr, pc->socklen, chosen->sockaddr, chosen->socklen, 1) != NGX_OK) {
            return rc;
        }
        pc->free(pc, pc->data, NGX_PEER_NEXT);
        pc->tries = tries;
    }
}

static ngx_int_t get_chosen(ngx_peer_connection_t *pc, void *data) {
    chosen_t *chosen = data;
    if (!chosen->is_used) {
        chosen->is_used = 1;
        note(chosen, begin_try, pc->log);
        pc->cached = 0;
        pc->connection = NULL;
        pc->sockaddr = chosen->sockaddr;
        pc->socklen = chosen->socklen;
        pc->name = &chosen->name;
        return NGX_OK;
    }
    /* The peer has failed: the balancer chooses the next. */
    pc->data = chosen->data;
    pc->get = chosen->get;
    pc->free = chosen->free;
    pc->notify = chosen->notify;
#if (NGX_SSL || NGX_COMPAT)
    pc->set_session = chosen->set_session;
    pc->save_session = chosen->save_session;
#endif
    return get_another(pc, chosen);
}

static void free_chosen(ngx_peer_connection_t *pc, void *data, ngx_uint_t state) {
    note(data, state & NGX_PEER_FAILED ? count_failure : count_success, pc->log);
    if (pc->tries) {
        pc->tries--;
    }
}

#if (NGX_SSL || NGX_COMPAT)
static ngx_int_t set_no_session(ngx_peer_connection_t *pc, void *data) {
    (void) pc;
    (void) data;
    return NGX_OK;
}

static void save_no_session(ngx_peer_connection_t *pc, void *data) {
    (void) pc;
    (void) data;
}
#endif

/* Makes the request, whose balancer has begun, try this peer first. */
ngx_int_t ngx_bindings_upstream_choose(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us, const struct sockaddr *address,
    socklen_t len, const u_char *name, size_t name_len) {
    ngx_peer_connection_t *pc = &r->upstream->peer;
    chosen_t *chosen = ngx_pcalloc(r->pool, sizeof(chosen_t) + len + name_len);
    if (chosen == NULL) {
        return NGX_ERROR;
    }
    u_char *after = (u_char *) (chosen + 1);
    chosen->upstream = us;
    ngx_memcpy(after, address, len);
    ngx_memcpy(after + len, name, name_len);
    chosen->sockaddr = (struct sockaddr *) after;
    chosen->socklen = len;
    chosen->name.data = after + len;
    chosen->name.len = name_len;
    chosen->data = pc->data;
    chosen->get = pc->get;
    chosen->free = pc->free;
    chosen->notify = pc->notify;
    pc->data = chosen;
    pc->get = get_chosen;
    pc->free = free_chosen;
    /* It would get what is not its own. */
    pc->notify = NULL;
#if (NGX_SSL || NGX_COMPAT)
    chosen->set_session = pc->set_session;
    chosen->save_session = pc->save_session;
    pc->set_session = set_no_session;
    pc->save_session = save_no_session;
#endif
    return NGX_OK;
}
