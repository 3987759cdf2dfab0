/* What OpenSSL has under other names in other versions. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

X509 *ngx_bindings_ssl_peer_certificate(const SSL *ssl) { return SSL_get_peer_certificate(ssl); }

int ngx_bindings_pkey_is_rsa_or_ec(const EVP_PKEY *key) {
    return EVP_PKEY_base_id(key) == EVP_PKEY_RSA || EVP_PKEY_base_id(key) == EVP_PKEY_EC;
}

int ngx_bindings_pkey_bits(const EVP_PKEY *key) { return EVP_PKEY_bits(key); }
