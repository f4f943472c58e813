#include "store/store.h"

#include "base/text.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_DRIVERS = 8, MOST_PASSWORD_BYTES = 4096 };

static const struct store_driver *drivers[MOST_DRIVERS];
static size_t n_drivers;

void store_register(const struct store_driver *driver) {
    assert(n_drivers < MOST_DRIVERS);
    drivers[n_drivers++] = driver;
}

const struct store_driver *store_driver_of(enum store_kind kind) {
    for (size_t i = 0; i < n_drivers; i++)
        if (drivers[i]->kind == kind) return drivers[i];
    return NULL;
}

static void wipe(char **password) {
    if (!*password) return;
    explicit_bzero(*password, strlen(*password));
    free(*password);
}

/* The file's first line. Only its owner may be able to read it; systemd guards its own credentials (by an access list,
 * which shows as bits of the group). */
static int read_credential(const char *path, bool guarded, char **ret_password, struct err *err) {
    struct stat stat_of;
    if (stat(path, &stat_of)) return err_set_errno(err, errno, "cannot read the password in %s", path);
    if (!guarded && stat_of.st_mode & (S_IRGRP | S_IWGRP | S_IRWXO))
        return err_set(err, ERR_CONFIG, "others may read the password in %s; chmod 0400 %s", path, path);
    char *bytes;
    size_t length;
    if (text_read_file(path, MOST_PASSWORD_BYTES, &bytes, &length, err)) return -1;
    bytes[strcspn(bytes, "\r\n")] = '\0';
    *ret_password = bytes;
    return 0;
}

static char *from_environment(const char *name) {
    char variable[128];
    int length = snprintf(variable, sizeof variable, "LAPSED_%s_PASSWORD", name);
    if (length < 0 || (size_t)length >= sizeof variable) return NULL;
    for (char *c = variable; *c; c++) *c = (char)toupper((unsigned char)*c);
    const char *value = getenv(variable);
    return value ? xstrdup(value) : NULL;
}

/* *ret_password stays NULL where there is none. */
static int find_password(const char *name, char **ret_password, struct err *err) {
    const char *folders[] = {getenv("CREDENTIALS_DIRECTORY"), "/etc/lapsed/credentials"};
    for (size_t i = 0; i < 2; i++) {
        char path[4096];
        if (!folders[i] || snprintf(path, sizeof path, "%s/%s", folders[i], name) >= (int)sizeof path) continue;
        if (!access(path, F_OK)) return read_credential(path, i == 0, ret_password, err);
    }
    *ret_password = from_environment(name);
    return 0;
}

int store_open(const struct schedule *schedule, const struct store_conf *conf, bool read_only, const struct store_keys *keys,
               struct store **ret_store, struct err *err) {
    const struct store_driver *driver = store_driver_of(conf->kind);
    if (!driver) return err_set(err, ERR_BUG, "store \"%s\": no driver was named for its kind", conf->name);
    __attribute__((cleanup(wipe))) char *password = NULL;
    if (find_password(conf->name, &password, err)) return err_within(err, "store \"%s\"", conf->name);
    const struct store_settings settings = {.conf = conf, .schedule = schedule, .password = password, .read_only = read_only,
                                            .pseudonym_key = keys ? keys->pseudonym : NULL, .evidence_key = keys ? keys->evidence : NULL};
    return driver->open(&settings, ret_store, err);
}

void store_close(struct store *store) {
    if (store) store_driver(store)->close(store);
}
