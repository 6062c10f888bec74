# SPDX-License-Identifier: BSD-3-Clause
# What `cmake --install` puts where: library, headers, pkg-config and CMake package files.
