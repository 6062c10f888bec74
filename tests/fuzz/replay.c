/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c -- runs a fuzz target without a fuzzer: its corpus, and seeded mutations of it
 *
 *   TARGET [CORPUS_FOLDER]
 *
 * Every run does the same, with any compiler, so that the default suite covers the targets too.
 * It finds little that is new; that is libFuzzer's work (-DFARBUS_FUZZ=ON).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 4096
#define CORPUS_MAX 256
#define MUTATION_COUNT 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct input {
	size_t len;
	uint8_t data[INPUT_MAX];
};

static struct input corpus[CORPUS_MAX];
static size_t corpus_count = 1; /* the first is empty */

static uint64_t random_state = 0x9e3779b97f4a7c15;

/* xorshift64: the same numbers in every run, which is the point. */
static uint64_t random_below(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

/* The target gets an exact-size heap copy, so that a sanitizer sees the first byte too far. */
static void input_run(const struct input *input)
{
	uint8_t *copy = malloc(input->len ? input->len : 1);
	if (!copy)
		abort();
	memcpy(copy, input->data, input->len);
	LLVMFuzzerTestOneInput(copy, input->len);
	free(copy);
}

static int corpus_read(const char *folder, const char *name)
{
	if (corpus_count == CORPUS_MAX) {
		fprintf(stderr, "replay: more than %d inputs in %s\n", CORPUS_MAX - 1, folder);
		return -1;
	}
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return -1;
	}
	struct input *input = &corpus[corpus_count++];
	input->len = fread(input->data, 1, INPUT_MAX, file);
	fclose(file);
	return 0;
}

static int name_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int corpus_open(const char *folder)
{
	struct dirent **list;
	int count = scandir(folder, &list, name_visible, alphasort);
	if (count < 0) {
		perror(folder);
		return -1;
	}
	int err = 0;
	for (int i = 0; i < count; i++) {
		if (err == 0)
			err = corpus_read(folder, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return err;
}

static void input_insert(struct input *input)
{
	if (input->len == INPUT_MAX)
		return;
	size_t at = random_below(input->len + 1);
	memmove(&input->data[at + 1], &input->data[at], input->len - at);
	input->data[at] = (uint8_t)random_below(256);
	input->len++;
}

static void input_cut(struct input *input)
{
	size_t at = random_below(input->len);
	size_t n = 1 + random_below(input->len - at);
	memmove(&input->data[at], &input->data[at + n], input->len - at - n);
	input->len -= n;
}

/* The numbers that parsers get wrong: all ones, one, the sign bit, in every width. */
static void input_number(struct input *input)
{
	static const uint64_t number[] = { UINT64_MAX, 1, 0, 1ull << 63, 1ull << 31, 0x7fffffff };
	size_t width = (size_t)1 << random_below(4);
	if (input->len < width)
		return;
	uint64_t value = number[random_below(sizeof(number) / sizeof(number[0]))];
	memcpy(&input->data[random_below(input->len - width + 1)], &value, width);
}

static void input_mutate(struct input *input)
{
	if (input->len == 0) {
		input_insert(input);
		return;
	}
	switch (random_below(5)) {
	case 0:
		input->data[random_below(input->len)] ^= (uint8_t)(1u << random_below(8));
		break;
	case 1:
		input->data[random_below(input->len)] = (uint8_t)random_below(256);
		break;
	case 2:
		input_insert(input);
		break;
	case 3:
		input_cut(input);
		break;
	default:
		input_number(input);
	}
}

int main(int argc, char **argv)
{
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 1 && corpus_open(argv[1]) < 0)
		return 1;
	for (size_t i = 0; i < corpus_count; i++)
		input_run(&corpus[i]);
	for (int i = 0; i < MUTATION_COUNT; i++) {
		struct input input = corpus[random_below(corpus_count)];
		for (uint64_t n = 1 + random_below(16); n > 0; n--)
			input_mutate(&input);
		input_run(&input);
	}
	printf("%zu inputs and %d mutations\n", corpus_count, MUTATION_COUNT);
	return 0;
}
