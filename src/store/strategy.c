#include "store/strategy.h"

#include "base/text.h"
#include "base/time.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Doubled backslashes in brackets mean one backslash to POSIX and to PostgreSQL alike. */
enum pattern { PATTERN_IP, PATTERN_URL, PATTERN_HOST, PATTERN_BROWSER, PATTERN_PSEUDONYM, PATTERN_SECOND, PATTERN_MINUTE,
               PATTERN_HOUR, PATTERN_DAY, PATTERN_MONTH, PATTERN_YEAR, N_PATTERNS };
#define DATE "^[0-9]{4,6}-[0-9]{2}-[0-9]{2}T"
static const char *const patterns[N_PATTERNS] = {
    [PATTERN_IP] = "^[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.]0$|^::$|^([0-9a-f]{1,4}:){1,3}:$",
    [PATTERN_URL] = "^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#@\\\\]*(/[^?#\\\\]*)?$"   /* with an authority */
                    "|^[^/?#@:\\\\]+(:[0-9]+)?(/[^?#\\\\]*)?$"                     /* host/path or relative/path */
                    "|^/([^/?#\\\\][^?#\\\\]*)?$",                                 /* /path */
    [PATTERN_HOST] = "^[^]/?#@:[\\\\ ]+$|^\\[[0-9a-fA-F:.]+\\]$",
    [PATTERN_BROWSER] = "^(other|bot|(Edge|Opera|Samsung Internet|Firefox|Chrome|Safari|curl)( [0-9]{1,3})?"
                        "( on (Windows|Android|iOS|ChromeOS|macOS|Linux))?)$",
    [PATTERN_PSEUDONYM] = "^anon:[0-9a-f]{32,64}$",
    [PATTERN_SECOND] = DATE "[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
    [PATTERN_MINUTE] = DATE "[0-9]{2}:[0-9]{2}:00Z$",
    [PATTERN_HOUR] = DATE "[0-9]{2}:00:00Z$",
    [PATTERN_DAY] = DATE "00:00:00Z$",
    [PATTERN_MONTH] = "^[0-9]{4,6}-[0-9]{2}-01T00:00:00Z$",
    [PATTERN_YEAR] = "^[0-9]{4,6}-01-01T00:00:00Z$",
};
static const char *const units[] = {"second", "minute", "hour", "day", "month", "year"};

static regex_t compiled[N_PATTERNS];
static pthread_once_t compile_once = PTHREAD_ONCE_INIT;

static void compile_patterns(void) {
    for (size_t i = 0; i < N_PATTERNS; i++)
        if (regcomp(&compiled[i], patterns[i], REG_EXTENDED | REG_NOSUB)) abort();
}

static bool matches(enum pattern pattern, const char *value) {
    (void)pthread_once(&compile_once, compile_patterns);
    return regexec(&compiled[pattern], value, 0, NULL, 0) == 0;
}

static int unit_index(const char *unit) {
    for (int i = 0; unit && i < (int)(sizeof units / sizeof *units); i++)
        if (!strcmp(units[i], unit)) return i;
    return -1;
}

bool strategy_is_time_unit(const char *unit) { return unit_index(unit) >= 0; }

int64_t strategy_truncate_time(int64_t us, const char *unit) {
    struct civil civil = time_to_civil(us);
    int index = unit_index(unit);
    assert(index >= 0);
    civil.microsecond = 0;
    if (index >= 1) civil.second = 0;
    if (index >= 2) civil.minute = 0;
    if (index >= 3) civil.hour = 0;
    if (index >= 4) civil.day = 1;
    if (index >= 5) civil.month = 1;
    return time_from_civil(&civil);
}

/* The pattern of what is done, N_PATTERNS for none. */
static enum pattern pattern_of(const struct column *column) {
    switch (column->strategy) {
    case STRATEGY_TRUNCATE_IP: return PATTERN_IP;
    case STRATEGY_STRIP_URL: return PATTERN_URL;
    case STRATEGY_HOST: return PATTERN_HOST;
    case STRATEGY_BROWSER_FAMILY: return PATTERN_BROWSER;
    case STRATEGY_PSEUDONYMIZE: return PATTERN_PSEUDONYM;
    case STRATEGY_TRUNCATE_TIME: {
        int index = unit_index(column->argument);
        assert(index >= 0);
        return (enum pattern)(PATTERN_SECOND + index);
    }
    case STRATEGY_NULL:
    case STRATEGY_FIXED:
    case STRATEGY_AS_IS: break;
    }
    return N_PATTERNS;
}

const char *strategy_done_pattern(const struct column *column) {
    enum pattern pattern = pattern_of(column);
    return pattern == N_PATTERNS ? NULL : patterns[pattern];
}

bool strategy_done(const struct column *column, const char *value) {
    switch (column->strategy) {
    case STRATEGY_NULL: return !value;
    case STRATEGY_FIXED: return text_equal(value, column->argument);
    case STRATEGY_AS_IS: return true;
    default: return !value || !*value || matches(pattern_of(column), value);
    }
}

/* IPv4 to its /24, IPv6 to its /48. An IPv4 address inside an IPv6 one is unwrapped first: cut at /48 it would vanish. */
static char *truncate_ip(struct arena *arena, const char *value) {
    struct in_addr v4;
    struct in6_addr v6;
    char text[INET6_ADDRSTRLEN];
    bool is_v4 = inet_pton(AF_INET, value, &v4) == 1;
    if (!is_v4) {
        if (inet_pton(AF_INET6, value, &v6) != 1) return NULL;
        is_v4 = IN6_IS_ADDR_V4MAPPED(&v6);
        if (is_v4) memcpy(&v4, &v6.s6_addr[12], sizeof v4);
    }
    if (is_v4) {
        v4.s_addr &= htonl(0xffffff00);
        return arena_strdup(arena, inet_ntop(AF_INET, &v4, text, sizeof text));
    }
    memset(&v6.s6_addr[6], 0, 10);
    return arena_strdup(arena, inet_ntop(AF_INET6, &v6, text, sizeof text));
}

/* Length of "scheme:" in front, 0 if there is none. */
static size_t scheme_length(const char *url) {
    size_t letters = strspn(url, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+.-");
    if (!letters || url[letters] != ':' || strspn(url, "+.-0123456789")) return 0;
    return letters + 1;
}

/* A URL's parts (RFC 3986), as far as the strategies need them. */
struct url {
    size_t prefix;         /* length of "scheme://", "//" or nothing */
    const char *host;      /* behind "user:password@" */
    size_t authority;      /* length of "host:port" */
    const char *path;
    size_t path_length;    /* up to the query or fragment */
};

/* False for what is not hierarchical (mailto:, data:, javascript:) or has backslashes, which browsers read as slashes. */
static bool split_url(const char *text, struct url *ret_url) {
    if (strchr(text, '\\')) return false;
    size_t scheme = scheme_length(text);
    bool slashes = !strncmp(text + scheme, "//", 2);
    bool port = scheme && text[scheme] >= '0' && text[scheme] <= '9'; /* "localhost:3000" */
    size_t prefix = slashes ? scheme + 2 : 0;
    size_t authority = strcspn(text + prefix, "/?#");
    const char *host = text + prefix;
    for (size_t i = 0; i < authority; i++)
        if (text[prefix + i] == '@') host = text + prefix + i + 1;
    bool user = host != text + prefix;
    if (scheme && !slashes && !port && !user) return false;
    if (scheme && !slashes && user && text_starts_with(text, "mailto:")) return false;
    const char *path = text + prefix + authority;
    *ret_url = (struct url){.prefix = prefix,
                            .host = host,
                            .authority = (size_t)(path - host),
                            .path = path,
                            .path_length = strcspn(path, "?#")};
    return true;
}

static char *strip_url(struct arena *arena, const char *value) {
    struct url url;
    if (!split_url(value, &url)) return NULL;
    return arena_printf(arena, "%.*s%.*s%.*s", (int)url.prefix, value, (int)url.authority, url.host, (int)url.path_length, url.path);
}

static char *host_of(struct arena *arena, const char *value) {
    struct url url;
    if (!split_url(value, &url)) return NULL;
    size_t length = *url.host == '[' ? strcspn(url.host, "]") + 1 : strcspn(url.host, ":/?#");
    if (!length || length > url.authority) return NULL;
    char *host = arena_strndup(arena, url.host, length);
    for (char *at = host; *at; at++)
        if (*at >= 'A' && *at <= 'Z') *at = (char)(*at - 'A' + 'a');
    return host;
}

static const char *browser_system(const char *agent) {
    static const char *const table[][2] = {{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iOS"},
                                           {"iPad", "iOS"},        {"iPod", "iOS"},        {"CrOS", "ChromeOS"},
                                           {"Macintosh", "macOS"}, {"Mac OS X", "macOS"},  {"Linux", "Linux"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strstr(agent, table[i][0])) return table[i][1];
    return NULL;
}

/* Only words of a closed list and a major version come out: a user agent may hold anything. The order matters: most
 * browsers also claim to be Chrome or Safari. */
static char *browser_family(struct arena *arena, const char *agent) {
    static const char *const table[][2] = {
        {"Edg/", "Edge"},       {"EdgA/", "Edge"},     {"EdgiOS/", "Edge"},   {"Edge/", "Edge"},
        {"OPR/", "Opera"},      {"Opera/", "Opera"},   {"SamsungBrowser/", "Samsung Internet"},
        {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"},  {"Chrome/", "Chrome"},
        {"Version/", "Safari"}, {"curl/", "curl"},
    };
    static const char *const bots[] = {"bot", "Bot", "spider", "Spider", "crawl", "Crawl"};
    for (size_t i = 0; i < sizeof bots / sizeof *bots; i++)
        if (strstr(agent, bots[i])) return arena_strdup(arena, "bot");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *at = strstr(agent, table[i][0]);
        if (!at || (!strcmp(table[i][1], "Safari") && !strstr(agent, "Safari/"))) continue;
        at += strlen(table[i][0]);
        size_t digits = strspn(at, "0123456789");
        const char *system = browser_system(agent);
        return arena_printf(arena, "%s%s%.*s%s%s", table[i][1], digits && digits <= 3 ? " " : "", digits <= 3 ? (int)digits : 0, at,
                            system ? " on " : "", system ? system : "");
    }
    return arena_strdup(arena, "other");
}

static char *pseudonym(struct arena *arena, const unsigned char *key, const char *value) {
    unsigned char digest[32];
    unsigned int length = sizeof digest;
    char hex[65];
    assert(key);
    if (!HMAC(EVP_sha256(), key, 32, (const unsigned char *)value, strlen(value), digest, &length)) abort();
    text_hex(hex, digest);
    return arena_printf(arena, "anon:%s", hex);
}

static char *truncate_time_text(struct arena *arena, const char *unit, const char *value) {
    int64_t us;
    if (!time_parse(value, &us)) return NULL;
    struct civil civil = time_to_civil(strategy_truncate_time(us, unit));
    return arena_printf(arena, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02dZ", civil.year, civil.month, civil.day, civil.hour, civil.minute,
                        civil.second);
}

static char *changed(struct arena *arena, const struct column *column, const unsigned char *key, const char *value) {
    switch (column->strategy) {
    case STRATEGY_TRUNCATE_IP: return truncate_ip(arena, value);
    case STRATEGY_TRUNCATE_TIME: return truncate_time_text(arena, column->argument, value);
    case STRATEGY_STRIP_URL: return strip_url(arena, value);
    case STRATEGY_HOST: return host_of(arena, value);
    case STRATEGY_BROWSER_FAMILY: return browser_family(arena, value);
    case STRATEGY_PSEUDONYMIZE: return pseudonym(arena, key, value);
    case STRATEGY_NULL:
    case STRATEGY_FIXED:
    case STRATEGY_AS_IS: break;
    }
    return NULL;
}

char *strategy_apply(struct arena *arena, const struct column *column, const unsigned char *key, const char *value) {
    if (column->strategy == STRATEGY_NULL) return NULL;
    if (column->strategy == STRATEGY_FIXED) return arena_strdup(arena, column->argument);
    if (strategy_done(column, value)) return arena_strdup(arena, value);
    char *result = changed(arena, column, key, value);
    /* What would not count as done is nothing that may stay. */
    return strategy_done(column, result) ? result : NULL;
}
