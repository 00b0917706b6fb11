/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fake backend's calls and streams. */
#ifndef TESTS_FRONTEND_FAKE_BACKEND_CALLS_H
#define TESTS_FRONTEND_FAKE_BACKEND_CALLS_H

#include "fake_backend_state.h"

/* The page of the guest's memory that a grant names. */
void *fake_backend_page(struct fake_backend *fake, uint32_t ref);
/* Serves all requests and streams once. */
void fake_backend_serve(struct fake_backend *fake);
/* Hands offered connections to waiting ACCEPTs and POLLs. */
void fake_backend_match_accepts(struct fake_backend *fake, struct listener *listener);
/* Forgets the guest's streams and listeners. */
void fake_backend_free_guest(struct fake_backend *fake);

#endif
