/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding each operation, what makes it malformed, and error numbers of the wire. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "call/call.h"
#include "call/wire_errno.h"

static struct wire_request request_of(uint32_t cmd)
{
	struct wire_request request;

	memset(&request, 0xa5, sizeof(request)); /* stale bytes, as Linux frontends leave them */
	request.req_id = 31;
	request.cmd = cmd;
	request.id = 0xffff888001234560ull;
	return request;
}

static void put_address(uint8_t addr[WIRE_ADDR_BYTES], uint16_t family)
{
	static const uint8_t port_and_address[] = {0x20, 0xfb, 192, 0, 2, 7}; /* 8443 */

	addr[0] = (uint8_t)family;
	addr[1] = (uint8_t)(family >> 8);
	memcpy(addr + 2, port_and_address, sizeof(port_and_address));
}

static int decode_socket(uint32_t domain, uint32_t type, uint32_t protocol)
{
	struct wire_request request = request_of(WIRE_SOCKET);
	struct call call;

	request.u.socket.domain = domain;
	request.u.socket.type = type;
	request.u.socket.protocol = protocol;
	call_decode(&call, &request);
	return call.invalid;
}

static void test_socket(void **state)
{
	(void)state;
	assert_int_equal(decode_socket(2, 1, 0), 0);
	assert_int_equal(decode_socket(2, 1, 6), 0);
	assert_int_equal(decode_socket(2, 1, 2), -EAFNOSUPPORT);
	assert_int_equal(decode_socket(2, 2, 0), -EAFNOSUPPORT);
	assert_int_equal(decode_socket(10, 1, 0), -EAFNOSUPPORT);
	assert_int_equal(decode_socket(1, 1, 0), -EAFNOSUPPORT);
	assert_int_equal(decode_socket(UINT32_MAX, 1, 0), -EAFNOSUPPORT);
}

static void test_connect(void **state)
{
	struct wire_request request = request_of(WIRE_CONNECT);
	struct call call;

	(void)state;
	put_address(request.u.connect.addr, 2);
	request.u.connect.len = 16;
	request.u.connect.ref = 77;
	request.u.connect.evtchn = 78;
	call_decode(&call, &request);
	assert_int_equal(call.invalid, 0);
	assert_int_equal(call.op, PVCALLS_OP_CONNECT);
	assert_int_equal(call.req_id, 31);
	assert_true(call.id == 0xffff888001234560ull);
	assert_int_equal(call.requested.family, 2);
	assert_int_equal(call.requested.port, 8443);
	assert_memory_equal(call.requested.addr, "\xc0\x00\x02\x07\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(call.ref, 77);
	assert_int_equal(call.evtchn, 78);
}

static int decode_address_call(uint32_t cmd, uint16_t family, uint32_t len)
{
	struct wire_request request = request_of(cmd);
	struct call call;

	/* connect and bind have their address and length at the same place */
	put_address(request.u.connect.addr, family);
	request.u.connect.len = len;
	call_decode(&call, &request);
	return call.invalid;
}

static void test_address_lengths(void **state)
{
	static const uint32_t cmds[] = {WIRE_CONNECT, WIRE_BIND};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint32_t len;

		for (len = 0; len < 64; len++)
			assert_int_equal(decode_address_call(cmds[i], 2, len),
					 len >= 16 && len <= 28 ? 0 : -EINVAL);
		assert_int_equal(decode_address_call(cmds[i], 2, UINT32_MAX), -EINVAL);
		assert_int_equal(decode_address_call(cmds[i], 10, 28), -EAFNOSUPPORT);
		assert_int_equal(decode_address_call(cmds[i], 0, 16), -EAFNOSUPPORT);
		assert_int_equal(decode_address_call(cmds[i], 0x0202, 16), -EAFNOSUPPORT);
	}
}

static void test_backlog_is_clamped(void **state)
{
	struct wire_request request = request_of(WIRE_LISTEN);
	struct call call;

	(void)state;
	request.u.listen.backlog = 5;
	call_decode(&call, &request);
	assert_int_equal(call.backlog, 5);
	request.u.listen.backlog = 0xffffffff;
	call_decode(&call, &request);
	assert_int_equal(call.backlog, CALL_BACKLOG_MAX);
}

static void test_unknown_commands(void **state)
{
	static const uint32_t cmds[] = {7, 8, 255, 0x80000000, UINT32_MAX};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		struct wire_request request = request_of(cmds[i]);
		struct wire_response response;
		struct call call;

		call_decode(&call, &request);
		assert_int_equal(call.op, CALL_OP_UNKNOWN);
		assert_int_equal(call.invalid, -524);
		response = call_response(&call, call.invalid);
		assert_int_equal(response.ret, -524);
		assert_int_equal(response.cmd, cmds[i]);
		assert_int_equal(response.req_id, 31);
		assert_true(response.id == request.id);
		assert_int_equal(response.pad, 0);
	}
}

static void test_every_operation_has_a_row(void **state)
{
	uint32_t op;

	(void)state;
	for (op = 0; op <= PVCALLS_OP_COUNT; op++) {
		assert_non_null(call_operations[op].name);
		assert_non_null(call_operations[op].decode);
	}
}

static void test_error_numbers(void **state)
{
	(void)state;
	assert_int_equal(wire_errno(0), 0);
	assert_int_equal(wire_errno(-ECONNREFUSED), -111);
	assert_int_equal(wire_errno(-ENOTCONN), -107);
	assert_int_equal(wire_errno(-524), -524);
	assert_int_equal(wire_errno(-EOPNOTSUPP), -95);
	assert_int_equal(wire_errno(-4000), -EIO);
	assert_int_equal(wire_errno_from_name("ECONNREFUSED"), 111);
	assert_int_equal(wire_errno_from_name("ENOTSUP"), 524);
	assert_int_equal(wire_errno_from_name("ENOSUCHTHING"), 0);
	assert_string_equal(wire_errno_name(-13), "EACCES");
	assert_string_equal(wire_errno_name(524), "ENOTSUP");
	assert_null(wire_errno_name(4000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_address_lengths),
		cmocka_unit_test(test_backlog_is_clamped),
		cmocka_unit_test(test_unknown_commands),
		cmocka_unit_test(test_every_operation_has_a_row),
		cmocka_unit_test(test_error_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
