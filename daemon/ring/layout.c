/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every offset of the shared pages, checked when this is compiled. */
#include "ring/layout.h"

_Static_assert(sizeof(struct wire_request) == 64, "a request fills its slot");
_Static_assert(sizeof(struct wire_response) == 24, "response");
_Static_assert(sizeof(union wire_slot) == 64, "slot");
_Static_assert(offsetof(struct wire_request, id) == 8, "id");
_Static_assert(offsetof(struct wire_request, u) == 16, "arguments");
_Static_assert(offsetof(struct wire_request, u.socket.domain) == 16, "socket.domain");
_Static_assert(offsetof(struct wire_request, u.socket.type) == 20, "socket.type");
_Static_assert(offsetof(struct wire_request, u.socket.protocol) == 24, "socket.protocol");
_Static_assert(offsetof(struct wire_request, u.connect.addr) == 16, "connect.addr");
_Static_assert(offsetof(struct wire_request, u.connect.len) == 44, "connect.len");
_Static_assert(offsetof(struct wire_request, u.connect.flags) == 48, "connect.flags");
_Static_assert(offsetof(struct wire_request, u.connect.ref) == 52, "connect.ref");
_Static_assert(offsetof(struct wire_request, u.connect.evtchn) == 56, "connect.evtchn");
_Static_assert(offsetof(struct wire_request, u.release.reuse) == 16, "release.reuse");
_Static_assert(offsetof(struct wire_request, u.bind.addr) == 16, "bind.addr");
_Static_assert(offsetof(struct wire_request, u.bind.len) == 44, "bind.len");
_Static_assert(offsetof(struct wire_request, u.listen.backlog) == 16, "listen.backlog");
_Static_assert(offsetof(struct wire_request, u.accept.id_new) == 16, "accept.id_new");
_Static_assert(offsetof(struct wire_request, u.accept.ref) == 24, "accept.ref");
_Static_assert(offsetof(struct wire_request, u.accept.evtchn) == 28, "accept.evtchn");
_Static_assert(offsetof(struct wire_response, cmd) == 4, "response.cmd");
_Static_assert(offsetof(struct wire_response, ret) == 8, "response.ret");
_Static_assert(offsetof(struct wire_response, id) == 16, "response.id");
_Static_assert(offsetof(struct command_page, req_prod) == 0, "req_prod");
_Static_assert(offsetof(struct command_page, req_event) == 4, "req_event");
_Static_assert(offsetof(struct command_page, rsp_prod) == 8, "rsp_prod");
_Static_assert(offsetof(struct command_page, rsp_event) == 12, "rsp_event");
_Static_assert(offsetof(struct command_page, slot) == 64, "slots");
_Static_assert(offsetof(struct indexes_page, in_cons) == 0, "in_cons");
_Static_assert(offsetof(struct indexes_page, in_prod) == 4, "in_prod");
_Static_assert(offsetof(struct indexes_page, in_error) == 8, "in_error");
_Static_assert(offsetof(struct indexes_page, names) == 12, "names");
_Static_assert(offsetof(struct indexes_page, local_known) == 24, "local_known");
_Static_assert(offsetof(struct indexes_page, out_cons) == 64, "out_cons");
_Static_assert(offsetof(struct indexes_page, out_prod) == 68, "out_prod");
_Static_assert(offsetof(struct indexes_page, out_error) == 72, "out_error");
_Static_assert(offsetof(struct indexes_page, out_end) == 76, "out_end");
_Static_assert(offsetof(struct indexes_page, local_wanted) == 80, "local_wanted");
_Static_assert(offsetof(struct indexes_page, ring_order) == 128, "ring_order");
_Static_assert(offsetof(struct indexes_page, ref) == 132, "ref");
_Static_assert(sizeof(struct indexes_page) <= RING_PAGE_SIZE, "indexes fit a page");
