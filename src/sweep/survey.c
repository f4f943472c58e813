#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <stdlib.h>

/* ---- what stands ---- */

void survey_open(struct survey *survey, const struct schedule *schedule) {
    *survey = (struct survey){.catalogs = xcalloc(schedule->n_stores, sizeof *survey->catalogs),
                              .targets = xcalloc(schedule->n_targets, sizeof *survey->targets),
                              .due = xcalloc(schedule->n_targets, sizeof *survey->due)};
}

void survey_close(struct survey *survey, const struct schedule *schedule) {
    for (size_t i = 0; i < schedule->n_stores; i++) arena_free(survey->catalogs[i].arena);
    for (size_t i = 0; i < schedule->n_targets; i++) arena_free(survey->targets[i].arena);
    free(survey->catalogs);
    free(survey->targets);
    free(survey->due);
    *survey = (struct survey){0};
}

bool survey_is_due(struct survey *survey, const struct schedule *schedule, int64_t now_us) {
    bool again = !survey->round_us || now_us - survey->round_us >= schedule->settings.survey_every_us || now_us < survey->round_us;
    if (!again) return survey->n_due > 0;
    survey->round_us = now_us;
    survey->n_due = schedule->n_targets;
    for (size_t i = 0; i < schedule->n_targets; i++) survey->due[i] = true;
    return true;
}

static void replace(struct standing *standing, struct standing answer) {
    arena_free(standing->arena);
    *standing = answer;
}

/* ---- one store's questions ---- */

static void ask_next(struct site *site);

/* The budget is what its store worked for it, without the rest in between. */
static void ask_on(struct site *site) {
    site->survey_left_us -= time_monotonic_us() - site->asked_us;
    site_when_rested(site, ask_next); /* which one, is known then */
}

static const char *undecidable_text(const char *code) {
    static const struct { const char *code, *text; } texts[] = {
        {"since-empty", "records have no point in time to count from; they are kept"},
        {"since-future", "records have a point in time in the future; they are kept"},
        {"since-type", "records have something else than a point in time there; they are kept"},
        {"tenant-empty", "records belong to no tenant; they are kept"},
        {"tenant-unknown", "records belong to a tenant that the tenants query does not know; they are kept"},
        {"tenant-ambiguous", "records could belong to two tenants; they are kept"},
        {"field-unlisted", "records have a field that columns does not list; they are not anonymized"},
        {"only-unreached", "records are let in by no rule's `only`; they are kept"},
        {"survey-sampled", "the target is too large to be counted in its time (timeout.statement, of keys survey.budget): its figures are of a sample"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (text_equal(texts[i].code, code)) return texts[i].text;
    return "records cannot be decided; they are kept";
}

static void note_refused(struct site *site, struct standing *answer, const struct target *target) {
    const struct err *err = &site->job.err;
    log_warning("%s; the survey leaves it out", err->text);
    struct finding *finding = ARENA_NEW(answer->arena, struct finding);
    *finding = (struct finding){.code = "survey-refused", .rule = target ? target->rule->data : NULL, .store = site->conf->name,
                                .place = target ? target->name : NULL, .count = 1,
                                .text = arena_printf(answer->arena, "the store refused to be asked (%s%s%s); what cannot be decided there is not known",
                                                     err_code_name(err->code), *err->detail ? " " : "", err->detail)};
    answer->findings = finding;
    answer->n_findings = 1;
}

static void over(struct site *site) {
    if (site->answer.arena) arena_free(site->answer.arena);
    site->answer = (struct standing){0};
    sweep_site_over(site);
}

/* True if the answer can be used; false: the store does not answer any more, the store is done with and the next sweep goes on. What the
 * sweep itself did there is verified already. */
static bool answered(struct site *site, const struct target *target) {
    if (!site->job.failed) return true;
    if (site->job.err.code != ERR_UNAVAILABLE) {
        note_refused(site, &site->answer, target);
        return true;
    }
    log_warning("%s; the survey goes on at the next sweep", site->job.err.text);
    if (target) {
        site->sweep->engine->survey.due[target->number] = true;
        site->sweep->engine->survey.n_due++;
    }
    over(site);
    return false;
}

static void begin_answer(struct site *site) {
    site->answer = (struct standing){.arena = arena_new(), .sweep = site->sweep->report.number};
}

/* ---- the catalog ---- */

static int run_catalog(struct job *job, struct store *store, struct err *err) {
    struct standing *answer = &SITE_OF(job, job)->answer;
    if (!store_driver(store)->advise) return 0;
    return store_driver(store)->advise(store, answer->arena, &answer->findings, &answer->n_findings, err);
}

/* Advice is for people who write a schedule. */
static void drop_advice(struct standing *answer) {
    struct finding *kept = ARENA_ARRAY(answer->arena, struct finding, answer->n_findings);
    size_t n_kept = 0;
    for (size_t i = 0; i < answer->n_findings; i++)
        if (answer->findings[i].grade != FINDING_ADVICE) kept[n_kept++] = answer->findings[i];
    answer->findings = kept;
    answer->n_findings = n_kept;
}

static void on_catalog(struct job *job) {
    struct site *site = SITE_OF(job, job);
    if (!answered(site, NULL)) return;
    drop_advice(&site->answer);
    replace(&site->sweep->engine->survey.catalogs[engine_store_index(site->sweep->engine, site->conf)], site->answer);
    site->answer = (struct standing){0};
    ask_on(site);
}

/* ---- targets ---- */

static int run_target(struct job *job, struct store *store, struct err *err) {
    struct site *site = SITE_OF(job, job);
    return store_driver(store)->undecidable(store, site->surveyed, site->sweep->plan->now_us, site->answer.arena, &site->undecidable,
                                            &site->n_undecidable, err);
}

static void note_undecidable(struct site *site) {
    struct standing *answer = &site->answer;
    const struct target *target = site->surveyed;
    struct finding *findings = ARENA_ARRAY(answer->arena, struct finding, site->n_undecidable);
    for (size_t i = 0; i < site->n_undecidable; i++) {
        const struct undecidable *item = &site->undecidable[i];
        if (!item->count) continue;
        const char *text = undecidable_text(item->code);
        findings[answer->n_findings++] = (struct finding){
            .code = item->code, .grade = FINDING_PATIENT, .rule = target->rule->data, .store = site->conf->name,
            .place = item->column ? arena_printf(answer->arena, "%s.%s", target->name, item->column) : target->name, .count = item->count,
            .text = text};
        if (!text_equal(item->code, "survey-sampled")) answer->records += item->count;
    }
    answer->findings = findings;
}

static void on_target(struct job *job) {
    struct site *site = SITE_OF(job, job);
    struct survey *survey = &site->sweep->engine->survey;
    if (!answered(site, site->surveyed)) return;
    if (!job->failed) note_undecidable(site);
    replace(&survey->targets[site->surveyed->number], site->answer);
    site->answer = (struct standing){0};
    ask_on(site);
}

/* The next target of this store that is still to be asked; NULL: none, or there is no time left for it. */
static const struct target *next_target(struct site *site) {
    const struct sweep *sweep = site->sweep;
    struct survey *survey = &sweep->engine->survey;
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct target *target = sweep->schedule->targets[i];
        if (target->store != site->conf || !survey->due[i]) continue;
        if (!sweep->bad[i] && (sweep->stopping || site->survey_left_us <= 0)) return NULL;
        survey->due[i] = false;
        survey->n_due--;
        if (!sweep->bad[i]) return target;
    }
    return NULL;
}

static void ask_next(struct site *site) {
    site->surveyed = next_target(site);
    if (!site->surveyed) {
        over(site);
        return;
    }
    begin_answer(site);
    site_ask(site, run_target, on_target);
}

static void ask_catalog(struct site *site) {
    if (site->sweep->stopping) {
        over(site);
        return;
    }
    begin_answer(site);
    site_ask(site, run_catalog, on_catalog);
}

void survey_site(struct site *site) {
    site->survey_left_us = site->sweep->schedule->settings.survey_budget_us;
    site_when_rested(site, ask_catalog);
}

/* ---- the report ---- */

static void report_standing(struct sweep *sweep, const struct standing *standing, bool fresh) {
    if (!standing->arena || (standing->sweep == sweep->report.number) != fresh) return;
    for (size_t i = 0; i < standing->n_findings; i++) report_finding(sweep, standing->findings[i]);
}

void survey_report(struct sweep *sweep, bool fresh) {
    const struct survey *survey = &sweep->engine->survey;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) report_standing(sweep, &survey->catalogs[i], fresh);
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct standing *standing = &survey->targets[i];
        report_standing(sweep, standing, fresh);
        if (fresh) sweep->rules[sweep->schedule->targets[i]->rule->number].undecidable += standing->records;
    }
}
