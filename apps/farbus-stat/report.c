/* SPDX-License-Identifier: BSD-3-Clause */
/* report.c -- counters as tables for people or as a JSON document */
#include "apps/farbus-stat/report.h"

#include "apps/common/table.h"
#include "apps/common/tool.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *state_text(enum target_state state)
{
	switch (state) {
	case TARGET_DEAD:
		return "dead";
	case TARGET_LIVE:
		return "live";
	case TARGET_UNKNOWN:
		break;
	}
	return "unknown";
}

/* Of one target, what report asks for. A count never falls, but a damaged file may say so: 0. */
static uint64_t value_of(const struct report *report, size_t target, size_t row)
{
	uint64_t now = counterfile_value(&report->targets->target[target]->file, row), before;

	if (!report->before)
		return now;
	before = counterfile_value(&report->before[target], row);
	return now > before ? now - before : 0;
}

static size_t rows_of(const struct report *report)
{
	size_t most = 0;

	for (size_t i = 0; i < report->targets->count; i++) {
		size_t rows = counterfile_rows(&report->targets->target[i]->file);

		most = rows > most ? rows : most;
	}
	return most;
}

static uint64_t total_of(const struct report *report, size_t row)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < report->targets->count; i++)
		sum += value_of(report, i, row);
	return sum;
}

static void head_print(const struct target *target)
{
	const struct counterfile *file = &target->file;
	time_t start = (time_t)(file->start_ns / NS_PER_S);
	struct tm tm;
	char when[32] = "?";

	if (localtime_r(&start, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("PID %u: %s, since %s, %u threads, %s\n", file->pid, state_text(target->state), when,
	       file->thread_count, target->name);
	for (uint32_t i = 0; i < file->instance_count; i++) {
		const struct process_instance *row = &file->instance[i];

		printf("  rank %u of job %016llx, ", row->rank, (unsigned long long)row->job);
		if (row->instance)
			printf("instance %u\n", row->instance);
		else
			printf("closed\n");
	}
}

static void row_add(struct table *table, const struct report *report, size_t row, uint64_t value)
{
	char name[COUNTERFILE_NAME_SIZE];

	if (value == 0 && !report->all)
		return;
	counterfile_name(row, name);
	if (report->before)
		table_row(table, "%s\t%llu\t%.1f\t%s", name, (unsigned long long)value,
			  (double)value / report->seconds, counterfile_meaning(row));
	else
		table_row(table, "%s\t%llu\t%s", name, (unsigned long long)value,
			  counterfile_meaning(row));
}

static struct table *rows_new(const struct report *report)
{
	return table_new(report->before ? "counter|>more|>per second|meaning" :
					  "counter|>count|meaning");
}

static void target_print(const struct report *report, size_t target)
{
	const struct target *at = report->targets->target[target];
	struct table *table = rows_new(report);

	head_print(at);
	for (size_t row = 0; row < counterfile_rows(&at->file); row++)
		row_add(table, report, row, value_of(report, target, row));
	table_print(table, NULL, "  ", stdout);
	table_free(table);
}

void report_print(const struct report *report)
{
	struct table *table;

	if (report->before)
		printf("== %.3f seconds\n", report->seconds);
	for (size_t i = 0; i < report->targets->count; i++)
		target_print(report, i);
	if (report->targets->count < 2)
		return;
	table = rows_new(report);
	printf("All %zu processes\n", report->targets->count);
	for (size_t row = 0; row < rows_of(report); row++)
		row_add(table, report, row, total_of(report, row));
	table_print(table, NULL, "  ", stdout);
	table_free(table);
}

/* JSON has no unsigned 64 bits here; a count that large can only be damage. */
static json_t *count_json(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *instances_json(const struct counterfile *file)
{
	json_t *list = json_array();
	char job[17];

	for (uint32_t i = 0; i < file->instance_count; i++) {
		const struct process_instance *row = &file->instance[i];

		snprintf(job, sizeof(job), "%016llx", (unsigned long long)row->job);
		json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:b}", "job", job, "rank",
						      (json_int_t)row->rank, "instance",
						      (json_int_t)row->instance, "open",
						      row->instance != 0));
	}
	return list;
}

static json_t *target_json(const struct report *report, size_t target)
{
	const struct target *at = report->targets->target[target];
	json_t *counters = json_object();
	char name[COUNTERFILE_NAME_SIZE];

	for (size_t row = 0; row < counterfile_rows(&at->file); row++) {
		counterfile_name(row, name);
		json_object_set_new(counters, name, count_json(value_of(report, target, row)));
	}
	return json_pack("{s:I,s:s,s:s%,s:I,s:I,s:o,s:o}", "pid", (json_int_t)at->file.pid, "state",
			 state_text(at->state), "file", at->name, strnlen(at->name, 4096),
			 "start_ns", (json_int_t)(at->file.start_ns & INT64_MAX), "threads",
			 (json_int_t)at->file.thread_count, "instances", instances_json(&at->file),
			 "counters", counters);
}

int report_print_json(const struct report *report)
{
	json_t *document = json_object(), *processes = json_array(), *total = json_object();
	char name[COUNTERFILE_NAME_SIZE];
	int err;

	if (report->before)
		json_object_set_new(document, "seconds", json_real(report->seconds));
	for (size_t i = 0; i < report->targets->count; i++)
		json_array_append_new(processes, target_json(report, i));
	for (size_t row = 0; row < rows_of(report); row++) {
		counterfile_name(row, name);
		json_object_set_new(total, name, count_json(total_of(report, row)));
	}
	json_object_set_new(document, "processes", processes);
	err = json_object_set_new(document, "total", total);
	err = err == 0 && json_array_size(processes) == report->targets->count ?
		      tool_json_print(document) :
		      error_set(-ENOMEM, "no memory for the JSON document");
	json_decref(document);
	return err;
}
