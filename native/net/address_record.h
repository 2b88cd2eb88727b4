// address_record.h -- addresses in the memory that JavaScript can write to.
//
// Facts.      The kernel believes the length it is given, and may itself name a longer address
//             than there was room for.
// Decision.   What is stored is cut to what there is. What is loaded is looked at once: its family
//             must be the one it claims, its length one that this family can have.
// Cost.       IPv4, which is almost all, copies four numbers.
// Invariants. No record, whatever it holds, leads outside of a sockaddr_storage.
#pragma once

#include <string>

#include "net/net_layout.h"
#include "sys/sockets.h"

namespace ringloop {

// Families that are not supported, and sockets that have no name, become family 0.
void StoreAddress(const Address& address, AddressRecord* record);
// False: what JavaScript wrote there is no address.
bool LoadAddress(const AddressRecord& record, Address* address);
// The address without its port, or the path; empty if there is none.
std::string AddressText(const AddressRecord& record);

}  // namespace ringloop
