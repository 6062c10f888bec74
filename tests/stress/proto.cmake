# SPDX-License-Identifier: BSD-3-Clause
# runtime/proto: many more random jobs than the default suite has time for.
farbus_test_add(stress_proto_random COMMAND proto_random 1000 40000 LABELS stress TIMEOUT 300)
