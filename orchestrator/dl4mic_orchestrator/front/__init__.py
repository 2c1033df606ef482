# SPDX-License-Identifier: BSD-3-Clause
"""Who may come in: TLS for what others could hear, tokens for who it is."""
