/* What OpenSSL has under other names in other versions. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

X509 *ngx_bindings_ssl_peer_certificate(const SSL *ssl) { return SSL_get_peer_certificate(ssl); }

/* The exponent of a public key: BoringSSL's limit, 33 bits. */
#define EXPONENT_BITS 33

/* How much longer one factor of a modulus may be than half of it, in bits. */
#define FACTOR_SLACK 64

static int is_positive(const BIGNUM *number, int bits) {
    return number != NULL && !BN_is_negative(number) && !BN_is_zero(number) && BN_num_bits(number) <= bits;
}

static int is_product(const BIGNUM *n, const BIGNUM *p, const BIGNUM *q) {
    BN_CTX *context = BN_CTX_new();
    BIGNUM *product = BN_new();
    int is = context != NULL && product != NULL && BN_mul(product, p, q, context) && BN_cmp(product, n) == 0;
    BN_free(product);
    BN_CTX_free(context);
    return is;
}

/* OpenSSL reads numbers of any size, whatever the modulus is, and then computes with them. */
static int rsa_fits(const RSA *rsa, int bits) {
    const BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qi;
    RSA_get0_key(rsa, &n, &e, &d);
    RSA_get0_factors(rsa, &p, &q);
    RSA_get0_crt_params(rsa, &dp, &dq, &qi);
    if (!is_positive(n, bits) || !BN_is_odd(n) || !is_positive(e, EXPONENT_BITS) || !BN_is_odd(e)) {
        return 0;
    }
#ifndef OPENSSL_IS_BORINGSSL
    if (RSA_get_multi_prime_extra_count(rsa) > 0) {
        return 0;
    }
#endif
    if (d == NULL) {
        return 1;
    }
    bits = BN_num_bits(n);
    int half = (bits + 1) / 2 + FACTOR_SLACK;
    return is_positive(d, bits) && is_positive(p, half) && is_positive(q, half) && is_product(n, p, q)
        && is_positive(dp, BN_num_bits(p)) && is_positive(dq, BN_num_bits(q)) && is_positive(qi, BN_num_bits(p));
}

/* Curves without a name are whatever the key says. */
static int ec_fits(const EC_KEY *ec) {
    const EC_GROUP *group = EC_KEY_get0_group(ec);
    const BIGNUM *secret = EC_KEY_get0_private_key(ec);
    if (group == NULL || EC_GROUP_get_curve_name(group) == NID_undef) {
        return 0;
    }
    const BIGNUM *order = EC_GROUP_get0_order(group);
    return secret == NULL || (is_positive(secret, BN_num_bits(order)) && BN_cmp(secret, order) < 0);
}

/* Whether a key is of RSA, of up to so many bits, or of elliptic curves, and has no number of another size than it should. */
int ngx_bindings_pkey_fits(EVP_PKEY *key, int bits) {
    switch (EVP_PKEY_base_id(key)) {
    case EVP_PKEY_RSA: {
        const RSA *rsa = EVP_PKEY_get0_RSA(key);
        return rsa != NULL && rsa_fits(rsa, bits);
    }
    case EVP_PKEY_EC: {
        const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
        return ec != NULL && ec_fits(ec);
    }
    default:
        return 0;
    }
}
