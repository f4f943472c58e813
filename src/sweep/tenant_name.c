#include "sweep/tenant_name.h"

#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

int tenant_names_open(const struct schedule *schedule, struct tenant_names *ret_names, struct err *err) {
    struct tenant_names names = {.personal = schedule->tenants.personal};
    if (names.personal) {
        __attribute__((cleanup(buf_free))) struct buf path = {0};
        buf_printf(&path, "%s/tenants.key", schedule->settings.state_folder);
        if (key_file_have(buf_text(&path), names.key, err)) return -1;
    }
    *ret_names = names;
    return 0;
}

const char *tenant_name(const struct tenant_names *names, struct arena *arena, const char *id) {
    if (!names->personal || !*id) return id;
    unsigned char mac[32];
    char hex[65];
    unsigned length = sizeof mac;
    /* It fails only for want of memory, as any allocation of ours. */
    if (!HMAC(EVP_sha256(), names->key, (int)sizeof names->key, (const unsigned char *)id, strlen(id), mac, &length)) abort();
    text_hex(hex, mac);
    return arena_printf(arena, "h-%.32s", hex);
}
