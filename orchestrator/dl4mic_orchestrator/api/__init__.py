# SPDX-License-Identifier: BSD-3-Clause
"""The contract's services, answered from the store. What shall happen is written down here and done elsewhere."""
