#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// What OpenSSL has as macros with arguments, which Swift can't see.

static inline int pine_ssl_ctx_set_min_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_min_proto_version(context, version);
}
static inline int pine_ssl_ctx_set_max_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_max_proto_version(context, version);
}
static inline void pine_ssl_ctx_set_mode(SSL_CTX *context, long mode) { SSL_CTX_set_mode(context, mode); }
static inline void pine_ssl_ctx_set_server_options(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_TICKET);
}
static inline void pine_ssl_ctx_set_no_session_cache(SSL_CTX *context) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}
static inline void pine_ssl_ctx_set_max_cert_list(SSL_CTX *context, long bytes) { SSL_CTX_set_max_cert_list(context, bytes); }
static inline void pine_ssl_ctx_set_read_ahead(SSL_CTX *context) { SSL_CTX_set_read_ahead(context, 1); }
static inline int pine_err_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline void pine_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void pine_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline const char *pine_ssl_server_name(const SSL *ssl) {
  return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
}
static inline int pine_ssl_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
static inline int pine_chain_count(const STACK_OF(X509) *chain) { return sk_X509_num(chain); }
static inline X509 *pine_chain_certificate(const STACK_OF(X509) *chain, int index) { return sk_X509_value(chain, index); }
/// One line, as `O=system:masters,CN=admin`.
static inline void pine_print_name(BIO *out, const X509_NAME *name) {
  X509_NAME_print_ex(out, name, 0, XN_FLAG_SEP_COMMA_PLUS | ASN1_STRFLGS_RFC2253);
}
