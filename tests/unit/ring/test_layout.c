/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every offset of ring/layout.h against Xen's own public headers (libxen-dev). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define xen_mb()  __sync_synchronize()
#define xen_rmb() __sync_synchronize()
#define xen_wmb() __sync_synchronize()
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#include <xen/xen.h>

#include <xen/grant_table.h>

#include <xen/io/pvcalls.h>
#pragma GCC diagnostic pop

#include "ring/layout.h"

#define SAME_OFFSET(ours, our_field, theirs, their_field) \
	assert_int_equal(offsetof(ours, our_field), offsetof(theirs, their_field))

static void test_requests(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct wire_request), sizeof(struct xen_pvcalls_request));
	SAME_OFFSET(struct wire_request, req_id, struct xen_pvcalls_request, req_id);
	SAME_OFFSET(struct wire_request, cmd, struct xen_pvcalls_request, cmd);
	SAME_OFFSET(struct wire_request, id, struct xen_pvcalls_request, u.socket.id);
	SAME_OFFSET(struct wire_request, u.socket.domain, struct xen_pvcalls_request,
		    u.socket.domain);
	SAME_OFFSET(struct wire_request, u.socket.type, struct xen_pvcalls_request, u.socket.type);
	SAME_OFFSET(struct wire_request, u.socket.protocol, struct xen_pvcalls_request,
		    u.socket.protocol);
	SAME_OFFSET(struct wire_request, u.connect.addr, struct xen_pvcalls_request,
		    u.connect.addr);
	SAME_OFFSET(struct wire_request, u.connect.len, struct xen_pvcalls_request, u.connect.len);
	SAME_OFFSET(struct wire_request, u.connect.flags, struct xen_pvcalls_request,
		    u.connect.flags);
	SAME_OFFSET(struct wire_request, u.connect.ref, struct xen_pvcalls_request, u.connect.ref);
	SAME_OFFSET(struct wire_request, u.connect.evtchn, struct xen_pvcalls_request,
		    u.connect.evtchn);
	SAME_OFFSET(struct wire_request, u.release.reuse, struct xen_pvcalls_request,
		    u.release.reuse);
	SAME_OFFSET(struct wire_request, u.bind.addr, struct xen_pvcalls_request, u.bind.addr);
	SAME_OFFSET(struct wire_request, u.bind.len, struct xen_pvcalls_request, u.bind.len);
	SAME_OFFSET(struct wire_request, u.listen.backlog, struct xen_pvcalls_request,
		    u.listen.backlog);
	SAME_OFFSET(struct wire_request, u.accept.id_new, struct xen_pvcalls_request,
		    u.accept.id_new);
	SAME_OFFSET(struct wire_request, u.accept.ref, struct xen_pvcalls_request, u.accept.ref);
	SAME_OFFSET(struct wire_request, u.accept.evtchn, struct xen_pvcalls_request,
		    u.accept.evtchn);
}

static void test_responses(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct wire_response), sizeof(struct xen_pvcalls_response));
	SAME_OFFSET(struct wire_response, req_id, struct xen_pvcalls_response, req_id);
	SAME_OFFSET(struct wire_response, cmd, struct xen_pvcalls_response, cmd);
	SAME_OFFSET(struct wire_response, ret, struct xen_pvcalls_response, ret);
	SAME_OFFSET(struct wire_response, pad, struct xen_pvcalls_response, pad);
	SAME_OFFSET(struct wire_response, id, struct xen_pvcalls_response, u.socket.id);
}

static void test_command_page(void **state)
{
	(void)state;
	SAME_OFFSET(struct command_page, req_prod, struct xen_pvcalls_sring, req_prod);
	SAME_OFFSET(struct command_page, req_event, struct xen_pvcalls_sring, req_event);
	SAME_OFFSET(struct command_page, rsp_prod, struct xen_pvcalls_sring, rsp_prod);
	SAME_OFFSET(struct command_page, rsp_event, struct xen_pvcalls_sring, rsp_event);
	SAME_OFFSET(struct command_page, slot, struct xen_pvcalls_sring, ring);
	assert_int_equal(sizeof(union wire_slot),
			 sizeof(((struct xen_pvcalls_sring *)NULL)->ring[0]));
	assert_int_equal(COMMAND_SLOTS, __CONST_RING_SIZE(xen_pvcalls, RING_PAGE_SIZE));
}

static void test_indexes_page(void **state)
{
	(void)state;
	SAME_OFFSET(struct indexes_page, in_cons, struct pvcalls_data_intf, in_cons);
	SAME_OFFSET(struct indexes_page, in_prod, struct pvcalls_data_intf, in_prod);
	SAME_OFFSET(struct indexes_page, in_error, struct pvcalls_data_intf, in_error);
	SAME_OFFSET(struct indexes_page, out_cons, struct pvcalls_data_intf, out_cons);
	SAME_OFFSET(struct indexes_page, out_prod, struct pvcalls_data_intf, out_prod);
	SAME_OFFSET(struct indexes_page, out_error, struct pvcalls_data_intf, out_error);
	SAME_OFFSET(struct indexes_page, ring_order, struct pvcalls_data_intf, ring_order);
	SAME_OFFSET(struct indexes_page, ref, struct pvcalls_data_intf, ref);
	/* Our extension lies in padding of theirs. */
	assert_true(offsetof(struct indexes_page, names) >=
		    offsetof(struct pvcalls_data_intf, pad1));
	assert_true(offsetof(struct indexes_page, names) + sizeof(struct wire_names) <=
		    offsetof(struct pvcalls_data_intf, out_cons));
}

static void test_commands(void **state)
{
	(void)state;
	assert_int_equal(WIRE_SOCKET, PVCALLS_SOCKET);
	assert_int_equal(WIRE_CONNECT, PVCALLS_CONNECT);
	assert_int_equal(WIRE_RELEASE, PVCALLS_RELEASE);
	assert_int_equal(WIRE_BIND, PVCALLS_BIND);
	assert_int_equal(WIRE_LISTEN, PVCALLS_LISTEN);
	assert_int_equal(WIRE_ACCEPT, PVCALLS_ACCEPT);
	assert_int_equal(WIRE_POLL, PVCALLS_POLL);
}

static void test_ring_sizes(void **state)
{
	uint32_t order;

	(void)state;
	for (order = DATA_ORDER_MIN; order <= DATA_ORDER_MAX; order++)
		assert_int_equal(DATA_RING_BYTES(order), XEN_FLEX_RING_SIZE(order));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),     cmocka_unit_test(test_responses),
		cmocka_unit_test(test_command_page), cmocka_unit_test(test_indexes_page),
		cmocka_unit_test(test_commands),     cmocka_unit_test(test_ring_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
