# SPDX-License-Identifier: BSD-3-Clause
"""Version 1 of the contract: messages and stubs generated from the .proto files beside this one; never edited."""
