/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transport/xen_domain.h"

#include <xenctrl.h>

bool xen_domain_lives(uint32_t domid)
{
	xc_interface *hypervisor = xc_interface_open(NULL, NULL, 0);
	xc_dominfo_t info;
	bool lives;

	if (!hypervisor)
		return false;
	lives = xc_domain_getinfo(hypervisor, domid, 1, &info) == 1 && info.domid == domid &&
		!info.dying;
	xc_interface_close(hypervisor);
	return lives;
}
