// net_binding.cc -- arguments in, a count or a negative errno out.
#include "binding/net_binding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <string>
#include <vector>

#include "net/net_layout.h"
#include "sys/sockets.h"
#include "sys/faults.h"

namespace ringloop {
namespace {

// One per environment: pointers into memory that JavaScript owns and a reference pins.
struct Memory {
  uint8_t* slab = nullptr;
  uint8_t* datagrams = nullptr;
  Napi::Reference<Napi::ArrayBuffer> slab_pin;
  Napi::Reference<Napi::ArrayBuffer> datagrams_pin;

  AddressRecord* address() {
    return reinterpret_cast<AddressRecord*>(slab + kAddressOffset);
  }
  DatagramRecord* received(size_t i) {
    return reinterpret_cast<DatagramRecord*>(datagrams + kDatagramRecordsOffset) + i;
  }
  DatagramRecord* outgoing(size_t i) {
    return reinterpret_cast<DatagramRecord*>(datagrams + kDatagramSendRecordsOffset) + i;
  }
};

// One call from JavaScript. A wrong argument is remembered; finish with Return().
class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    void* data = nullptr;
    ok_ = napi_get_cb_info(env, info, &count_, values_, nullptr, &data) == napi_ok;
    memory_ = static_cast<Memory*>(data);
  }

  Memory& memory() { return *memory_; }
  bool ok() const { return ok_; }
  void Require(bool condition) { ok_ = ok_ && condition; }

  int Int(size_t i) {
    int32_t value = 0;
    Require(i < count_ && napi_get_value_int32(env_, values_[i], &value) == napi_ok);
    return value;
  }

  uint32_t Size(size_t i) {
    uint32_t value = 0;
    Require(i < count_ && napi_get_value_uint32(env_, values_[i], &value) == napi_ok);
    return value;
  }

  double Double(size_t i) {
    double value = 0;
    Require(i < count_ && napi_get_value_double(env_, values_[i], &value) == napi_ok);
    return value;
  }

  bool Bool(size_t i) {
    bool value = false;
    Require(i < count_ && napi_get_value_bool(env_, values_[i], &value) == napi_ok);
    return value;
  }

  std::string Text(size_t i) {
    char buffer[256];
    size_t length = 0;
    Require(i < count_ && napi_get_value_string_utf8(env_, values_[i], buffer, sizeof buffer,
                                                     &length) == napi_ok);
    return ok_ ? std::string(buffer, length) : std::string();
  }

  // The bytes of a Uint8Array, from `offset` on.
  iovec Bytes(napi_value value, size_t offset) {
    napi_typedarray_type type = napi_uint8_array;
    size_t length = 0;
    void* data = nullptr;
    Require(napi_get_typedarray_info(env_, value, &type, &length, &data, nullptr, nullptr) ==
                napi_ok &&
            type == napi_uint8_array && offset <= length);
    if (!ok_) return {};
    return {static_cast<uint8_t*>(data) + offset, length - offset};
  }
  iovec Bytes(size_t i, size_t offset) {
    Require(i < count_);
    return ok_ ? Bytes(values_[i], offset) : iovec{};
  }

  // The bytes of an array of Uint8Arrays, as many as one call takes; `skip` bytes of the first are
  // left out.
  std::vector<iovec> Vector(size_t i, size_t skip) {
    constexpr uint32_t kPartsMax = 1024;  // IOV_MAX where it matters
    std::vector<iovec> parts;
    uint32_t length = 0;
    Require(i < count_ && napi_get_array_length(env_, values_[i], &length) == napi_ok &&
            length > 0);
    for (uint32_t at = 0; ok_ && at < length && at < kPartsMax; at++) {
      napi_value part = nullptr;
      Require(napi_get_element(env_, values_[i], at, &part) == napi_ok);
      if (ok_) parts.push_back(Bytes(part, at == 0 ? skip : 0));
    }
    return parts;
  }

  napi_value Return(IoResult result) {
    if (!ok_) {
      napi_throw_type_error(env_, nullptr, "ringloop: an argument of a socket call is wrong");
      return nullptr;
    }
    napi_value value = nullptr;
    napi_create_int64(env_, result, &value);
    return value;
  }

  napi_value Return(bool result) {
    napi_value value = nullptr;
    napi_get_boolean(env_, result, &value);
    return value;
  }

  napi_value Return(const std::string& text) {
    napi_value value = nullptr;
    napi_create_string_utf8(env_, text.data(), text.size(), &value);
    return value;
  }

  // An address as arguments: family (4, 6 or 1), text, port.
  Address ToAddress(size_t family_at, size_t text_at, size_t port_at) {
    Address address;
    const int family = Int(family_at);
    const std::string text = Text(text_at);
    if (family == 1) {
      Require(address.SetPath(text.data(), text.size()));
    } else {
      Require(family == 4 || family == 6);
      const uint32_t port = Size(port_at);
      Require(port <= 65535);
      Require(address.SetIp(family == 6 ? AF_INET6 : AF_INET, text.c_str(),
                            static_cast<uint16_t>(port)));
    }
    return address;
  }

 private:
  napi_env env_;
  size_t count_ = 6;
  napi_value values_[6];
  bool ok_ = true;
  Memory* memory_ = nullptr;
};

int FamilyOf(int number) { return number == 4 ? AF_INET : number == 6 ? AF_INET6 : AF_UNIX; }

void StoreAddress(const Address& address, AddressRecord* record) {
  record->family = record->port = record->ipv4 = record->raw_length = 0;
  if (address.length == 0) return;
  switch (address.family()) {
    case AF_INET:
      record->family = 4;
      record->port = address.Port();
      record->ipv4 = ntohl(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr.s_addr);
      return;
    case AF_INET6: record->family = 6; break;
    case AF_UNIX: record->family = 1; break;
    default: return;
  }
  record->port = address.Port();
  record->raw_length = address.length;
  memcpy(record->raw, &address.storage, address.length);
}

// False: what JavaScript wrote there is no address.
bool LoadAddress(const AddressRecord& record, Address* address) {
  address->storage = {};
  if (record.family == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address->storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(record.port));
    v4->sin_addr.s_addr = htonl(record.ipv4);
    address->length = sizeof(sockaddr_in);
    return record.port <= 65535;
  }
  if (record.raw_length < sizeof(sa_family_t) || record.raw_length > sizeof record.raw) {
    return false;
  }
  memcpy(&address->storage, record.raw, record.raw_length);
  address->length = record.raw_length;
  return address->family() == FamilyOf(static_cast<int>(record.family));
}

std::string TextOf(const AddressRecord& record) {
  Address address;
  if (!LoadAddress(record, &address)) return "";
  char text[INET6_ADDRSTRLEN] = "";
  if (record.family == 4) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    return inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  }
  if (record.family == 6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    std::string result = inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    if (v6->sin6_scope_id != 0) result += "%" + std::to_string(v6->sin6_scope_id);
    return result;
  }
  const size_t start = offsetof(sockaddr_un, sun_path);
  if (address.length <= start) return "";
  const auto* local = reinterpret_cast<const sockaddr_un*>(&address.storage);
  std::string path(local->sun_path, address.length - start);
  if (path[0] != '\0') path.resize(strnlen(path.data(), path.size()));
  return path;
}

// ---- streams ------------------------------------------------------------------------------------

napi_value JsRead(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  Memory& memory = call.memory();
  call.Require(memory.slab != nullptr);
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(Read(fd, memory.slab, kReceiveBytes));
}

napi_value JsReadInto(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const iovec target = call.Bytes(1, call.Size(2));
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(Read(fd, target.iov_base, target.iov_len));
}

// From the slab: (fd, offset, length).
template <IoResult (*kCall)(int, const void*, size_t)>
napi_value JsWriteSlab(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t offset = call.Size(1);
  const uint32_t length = call.Size(2);
  Memory& memory = call.memory();
  call.Require(memory.slab != nullptr && offset <= kAddressOffset &&
               length <= kAddressOffset - offset);
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(kCall(fd, memory.slab + offset, length));
}

// From JavaScript's own memory: (fd, bytes, offset).
template <IoResult (*kCall)(int, const void*, size_t)>
napi_value JsWriteBytes(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const iovec bytes = call.Bytes(1, call.Size(2));
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(kCall(fd, bytes.iov_base, bytes.iov_len));
}

// Several at once: (fd, [bytes, ...], skip).
template <IoResult (*kCall)(int, const iovec*, size_t)>
napi_value JsWriteVector(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const std::vector<iovec> parts = call.Vector(1, call.Size(2));
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(kCall(fd, parts.data(), parts.size()));
}

// (out_fd, in_fd, offset, count)
napi_value JsSendFile(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int out_fd = call.Int(0);
  const int in_fd = call.Int(1);
  const double offset = call.Double(2);
  const uint32_t count = call.Size(3);
  call.Require(offset >= 0 && offset <= 9007199254740991.0);
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(SendFile(out_fd, in_fd, static_cast<int64_t>(offset), count));
}

napi_value JsShutdown(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() ? Shutdown(fd, SHUT_WR) : 0);
}

napi_value JsClose(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() ? CloseFd(fd) : 0);
}

// ---- making and naming sockets ------------------------------------------------------------------

// (family, datagram)
napi_value JsOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int family = FamilyOf(call.Int(0));
  const int type = call.Bool(1) ? SOCK_DGRAM : SOCK_STREAM;
  return call.Return(call.ok() ? OpenSocket(family, type) : 0);
}

// (fd, option, family, value)
napi_value JsSetOption(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t option = call.Size(1);
  const int family = FamilyOf(call.Int(2));
  const int value = call.Int(3);
  call.Require(option < static_cast<uint32_t>(SocketOption::kCount));
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(SetSocketOption(fd, static_cast<SocketOption>(option), family, value));
}

// (fd, family, text, port)
template <IoResult (*kCall)(int, const Address&)>
napi_value JsWithAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const Address address = call.ToAddress(1, 2, 3);
  return call.Return(call.ok() ? kCall(fd, address) : 0);
}

// (fd, join, family, group, interface)
napi_value JsMembership(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const bool join = call.Bool(1);
  Address group;
  const int family = FamilyOf(call.Int(2));
  const std::string text = call.Text(3);
  const std::string interface_text = call.Text(4);
  if (!call.ok()) return call.Return(IoResult{0});
  if (!group.SetIp(family, text.c_str(), 0)) return call.Return(IoResult{-EINVAL});
  return call.Return(SetMembership(fd, join, group, interface_text.c_str()));
}

// (fd, family, interface)
napi_value JsMulticastInterface(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const int family = FamilyOf(call.Int(1));
  const std::string interface_text = call.Text(2);
  return call.Return(call.ok() ? SetMulticastInterface(fd, family, interface_text.c_str()) : 0);
}

napi_value JsListen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const int backlog = call.Int(1);
  return call.Return(call.ok() ? Listen(fd, backlog) : 0);
}

napi_value JsSocketError(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() ? SocketError(fd) : 0);
}

napi_value JsFileType(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() ? FileType(fd) : 0);
}

napi_value JsSetNonBlocking(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() ? SetNonBlocking(fd) : 0);
}

// Their second result goes to the address page.
template <IoResult (*kCall)(int, Address*)>
napi_value JsToAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  call.Require(call.memory().slab != nullptr);
  if (!call.ok()) return call.Return(IoResult{0});
  Address address;
  const IoResult result = kCall(fd, &address);
  if (result >= 0) StoreAddress(address, call.memory().address());
  return call.Return(result);
}

// The text of what is in the address page.
napi_value JsAddressText(napi_env env, napi_callback_info info) {
  Call call(env, info);
  call.Require(call.memory().slab != nullptr);
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(TextOf(*call.memory().address()));
}

// (family, text, port) into the address page. False: not an address.
napi_value JsParseAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  call.Require(call.memory().slab != nullptr);
  if (!call.ok()) return call.Return(IoResult{0});
  const Address address = call.ToAddress(0, 1, 2);
  if (!call.ok()) return call.Return(false);
  StoreAddress(address, call.memory().address());
  return call.Return(true);
}

// ---- datagrams ----------------------------------------------------------------------------------

// (fd, count): into the slab, one record each; fewer datagrams have larger places.
napi_value JsReceiveBatch(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t count = call.Size(1);
  Memory& memory = call.memory();
  call.Require(memory.datagrams != nullptr && count > 0 && count <= kDatagramBatch);
  if (!call.ok()) return call.Return(IoResult{0});
  Datagram batch[kDatagramBatch];
  Address addresses[kDatagramBatch];
  const size_t place = kDatagramRecordsOffset / count;
  for (size_t i = 0; i < count; i++) {
    batch[i].data = {memory.datagrams + i * place, place};
    batch[i].address = &addresses[i];
  }
  const IoResult received = ReceiveBatch(fd, batch, count);
  for (IoResult i = 0; i < received; i++) {
    DatagramRecord* record = memory.received(static_cast<size_t>(i));
    record->length = static_cast<uint32_t>(batch[i].data.iov_len);
    record->outcome = batch[i].truncated ? 1 : 0;
    StoreAddress(addresses[i], &record->address);
  }
  return call.Return(received);
}

// Family 0: to the connected peer. False: what JavaScript wrote there is no address.
bool LoadTarget(const AddressRecord& record, Address* address, Datagram* datagram) {
  if (record.family == 0) return true;
  datagram->address = address;
  return LoadAddress(record, address);
}

// (fd, count): from the slab, as the records say.
napi_value JsSendBatch(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t count = call.Size(1);
  Memory& memory = call.memory();
  call.Require(memory.datagrams != nullptr && count > 0 && count <= kDatagramBatch);
  Datagram batch[kDatagramBatch];
  Address addresses[kDatagramBatch];
  size_t offset = 0;
  for (size_t i = 0; call.ok() && i < count; i++) {
    const DatagramRecord& record = *memory.outgoing(i);
    call.Require(record.length <= kDatagramSendBytes - offset &&
                 LoadTarget(record.address, &addresses[i], &batch[i]));
    batch[i].data = {memory.datagrams + kDatagramSendOffset + offset, record.length};
    offset += record.length;
  }
  if (!call.ok()) return call.Return(IoResult{0});
  const IoResult done = SendBatch(fd, batch, count);
  for (IoResult i = 0; i < done; i++) {
    memory.outgoing(static_cast<size_t>(i))->outcome = static_cast<uint32_t>(batch[i].error);
  }
  return call.Return(done);
}

// (fd, bytes): one from where it stands, to the address in the first record.
napi_value JsSendDatagram(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  Datagram datagram;
  datagram.data = call.Bytes(1, 0);
  Memory& memory = call.memory();
  call.Require(memory.datagrams != nullptr);
  Address address;
  call.Require(call.ok() && LoadTarget(memory.outgoing(0)->address, &address, &datagram));
  if (!call.ok()) return call.Return(IoResult{0});
  if (SendBatch(fd, &datagram, 1) == 0) return call.Return(IoResult{-EAGAIN});
  return call.Return(IoResult{-datagram.error});
}

// ---- the object ---------------------------------------------------------------------------------

bool IsBuffer(napi_env env, napi_value value, size_t bytes, void** data) {
  bool is_buffer = false;
  size_t length = 0;
  return napi_is_arraybuffer(env, value, &is_buffer) == napi_ok && is_buffer &&
         napi_get_arraybuffer_info(env, value, data, &length) == napi_ok && length == bytes;
}

Napi::Value Attach(const Napi::CallbackInfo& info) {
  auto* memory = static_cast<Memory*>(info.Data());
  void* data = nullptr;
  if (IsBuffer(info.Env(), info[0], kSlabBytes, &data)) {
    memory->slab = static_cast<uint8_t*>(data);
    memory->slab_pin = Napi::Persistent(info[0].As<Napi::ArrayBuffer>());
  } else if (IsBuffer(info.Env(), info[0], kDatagramSlabBytes, &data)) {
    memory->datagrams = static_cast<uint8_t*>(data);
    memory->datagrams_pin = Napi::Persistent(info[0].As<Napi::ArrayBuffer>());
  } else {
    Napi::TypeError::New(info.Env(), "ringloop: the slab has the wrong size")
        .ThrowAsJavaScriptException();
  }
  return info.Env().Undefined();
}

// injectFaults(seed, interrupted, again, short), per mille; seed 0: off. For tests.
napi_value JsInjectFaults(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const FaultPlan plan{call.Size(0), call.Size(1), call.Size(2), call.Size(3)};
  call.Require(plan.interrupted_per_mille < 1000 && plan.again_per_mille < 1000);
  if (call.ok()) SetFaultPlan(plan);
  return call.Return(IoResult{0});
}

Napi::Object DescribeNetLayout(Napi::Env env) {
  Napi::Object layout = Napi::Object::New(env);
  const auto add = [&](const char* name, size_t value) {
    layout.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  add("slabBytes", kSlabBytes);
  add("receiveBytes", kReceiveBytes);
  add("sendBytes", kSendBytes);
  add("addressOffset", kAddressOffset);
  add("family", offsetof(AddressRecord, family));
  add("port", offsetof(AddressRecord, port));
  add("ipv4", offsetof(AddressRecord, ipv4));
  add("rawLength", offsetof(AddressRecord, raw_length));
  add("raw", offsetof(AddressRecord, raw));
  add("datagramSlabBytes", kDatagramSlabBytes);
  add("datagramBytes", kDatagramBytes);
  add("datagramBatch", kDatagramBatch);
  add("datagramRecords", kDatagramRecordsOffset);
  add("datagramRecordBytes", sizeof(DatagramRecord));
  add("datagramSend", kDatagramSendOffset);
  add("datagramSendBytes", kDatagramSendBytes);
  add("datagramSendRecords", kDatagramSendRecordsOffset);
  add("datagramLength", offsetof(DatagramRecord, length));
  add("datagramOutcome", offsetof(DatagramRecord, outcome));
  add("datagramAddress", offsetof(DatagramRecord, address));
  const auto option = [&](const char* name, SocketOption value) {
    add(name, static_cast<size_t>(value));
  };
  option("reuseAddress", SocketOption::kReuseAddress);
  option("reusePort", SocketOption::kReusePort);
  option("keepAlive", SocketOption::kKeepAlive);
  option("noDelay", SocketOption::kNoDelay);
  option("ipv6Only", SocketOption::kIpv6Only);
  option("broadcast", SocketOption::kBroadcast);
  option("multicastTtl", SocketOption::kMulticastTtl);
  option("multicastLoopback", SocketOption::kMulticastLoopback);
  option("receiveBuffer", SocketOption::kReceiveBuffer);
  option("sendBuffer", SocketOption::kSendBuffer);
  option("linger", SocketOption::kLinger);
  option("ttl", SocketOption::kTtl);
  const auto error = [&](const char* name, int value) { add(name, static_cast<size_t>(value)); };
  error("EAGAIN", EAGAIN);
  error("EINPROGRESS", EINPROGRESS);
  error("ECONNABORTED", ECONNABORTED);
  error("EMFILE", EMFILE);
  error("ENFILE", ENFILE);
  error("ENOBUFS", ENOBUFS);
  error("ENOMEM", ENOMEM);
  return layout;
}

}  // namespace

Napi::Object DefineSockets(Napi::Env env) {
  auto* memory = new Memory();
  Napi::Object sockets = Napi::Object::New(env);
  sockets.AddFinalizer([](Napi::Env, Memory* finalized) { delete finalized; }, memory);
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function = nullptr;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, memory, &function) == napi_ok) {
      sockets.Set(name, function);
    }
  };
  sockets.Set("layout", DescribeNetLayout(env));
  sockets.Set("attach", Napi::Function::New(env, Attach, "attach", memory));
  add("read", JsRead);
  add("readInto", JsReadInto);
  add("send", JsWriteSlab<Send>);
  add("sendBytes", JsWriteBytes<Send>);
  add("sendVector", JsWriteVector<SendVector>);
  add("write", JsWriteSlab<Write>);
  add("writeBytes", JsWriteBytes<Write>);
  add("writeVector", JsWriteVector<WriteVector>);
  add("sendFile", JsSendFile);
  add("shutdown", JsShutdown);
  add("close", JsClose);
  add("open", JsOpen);
  add("setOption", JsSetOption);
  add("bind", JsWithAddress<Bind>);
  add("connect", JsWithAddress<Connect>);
  add("membership", JsMembership);
  add("multicastInterface", JsMulticastInterface);
  add("listen", JsListen);
  add("accept", JsToAddress<Accept>);
  add("localName", JsToAddress<LocalName>);
  add("peerName", JsToAddress<PeerName>);
  add("socketError", JsSocketError);
  add("fileType", JsFileType);
  add("setNonBlocking", JsSetNonBlocking);
  add("addressText", JsAddressText);
  add("parseAddress", JsParseAddress);
  add("receiveBatch", JsReceiveBatch);
  add("sendBatch", JsSendBatch);
  add("sendDatagram", JsSendDatagram);
  add("injectFaults", JsInjectFaults);
  return sockets;
}

}  // namespace ringloop
