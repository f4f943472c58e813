#include "sweep/tenant_name.h"

#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

static struct buf key_path(const char *state_folder) {
    struct buf path = {.text = NULL};
    buf_printf(&path, "%s/tenants.key", state_folder);
    return path;
}

int tenant_names_open(const struct schedule *schedule, struct tenant_names *ret_names, struct err *err) {
    struct tenant_names names = {.personal = schedule->tenants.personal};
    if (names.personal) {
        __attribute__((cleanup(buf_free))) struct buf path = key_path(schedule->settings.state_folder);
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

static bool is_name(const char *id) { return text_starts_with(id, "h-") && strlen(id) == 34 && strspn(id + 2, "0123456789abcdef") == 32; }

int tenant_name_asked(const char *state_folder, const char *id, struct arena *arena, const char **ret_name, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf path = key_path(state_folder);
    struct tenant_names names = {.personal = true};
    if (is_name(id)) {
        *ret_name = id;
        return 0;
    }
    if (key_file_read(buf_text(&path), names.key, err))
        return err_within(err, "the journal knows tenants by names made with a key (tenants.personal), which the daemon makes at its first sweep");
    *ret_name = arena_strdup(arena, tenant_name(&names, arena, id));
    explicit_bzero(&names, sizeof names);
    return 0;
}
