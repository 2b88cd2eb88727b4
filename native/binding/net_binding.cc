// net_binding.cc -- arguments in, a count or a negative errno out.
//
// Facts.      A getter of an array runs JavaScript, which may detach memory whose address is known
//             already. A slab can be detached too, and is then freed by whoever has it.
// Decision.   Elements are fetched first, addresses of their bytes after the last of them. A slab's
//             address is asked for at each call.
// Cost.       50 ns for a call with a number or two; 10 of them are the slab's address.
// Invariants. Between looking at bytes and the system call no JavaScript runs.
#include "binding/net_binding.h"

#include <errno.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "binding/numbers.h"
#include "net/address_record.h"
#include "net/net_layout.h"
#include "net/owned_fds.h"
#include "sys/faults.h"
#include "sys/sockets.h"

namespace ringloop {
namespace {

// An ArrayBuffer of JavaScript's: a reference keeps it alive, but not in its place.
class Slab {
 public:
  explicit Slab(size_t size) : size_(size) {}

  // Where in it the slab begins; nothing: `value` is no ArrayBuffer of that size.
  std::optional<size_t> Attach(napi_env env, napi_value value) {
    bool is_buffer = false;
    if (napi_is_arraybuffer(env, value, &is_buffer) != napi_ok || !is_buffer) return {};
    if (Bytes(env, value) == nullptr) return {};
    Napi::ArrayBuffer buffer(env, value);
    buffer_ = Napi::Persistent(buffer);
    return Padding(buffer.Data());
  }

  // Null: there is none, or somebody has detached it.
  uint8_t* Get(napi_env env) const {
    napi_value value = nullptr;
    if (napi_get_reference_value(env, buffer_, &value) != napi_ok) return nullptr;
    return value == nullptr ? nullptr : Bytes(env, value);
  }

 private:
  uint8_t* Bytes(napi_env env, napi_value value) const {
    void* data = nullptr;
    size_t length = 0;
    const bool known = napi_get_arraybuffer_info(env, value, &data, &length) == napi_ok;
    if (!known || length != size_ + kSlabAlignment) return nullptr;
    return static_cast<uint8_t*>(data) + Padding(data);
  }

  static size_t Padding(const void* data) {
    return -reinterpret_cast<uintptr_t>(data) % kSlabAlignment;
  }

  size_t size_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
};

// One per environment.
struct Memory {
  Slab slab{kSlabBytes};
  Slab datagrams{kDatagramSlabBytes};
  OwnedFds owned;
};

AddressRecord* AddressPage(uint8_t* slab) {
  return reinterpret_cast<AddressRecord*>(slab + kAddressOffset);
}

DatagramRecord* ReceivedRecord(uint8_t* datagrams, size_t i) {
  return reinterpret_cast<DatagramRecord*>(datagrams + kDatagramRecordsOffset) + i;
}

DatagramRecord* OutgoingRecord(uint8_t* datagrams, size_t i) {
  return reinterpret_cast<DatagramRecord*>(datagrams + kDatagramSendRecordsOffset) + i;
}

// One call from JavaScript. A wrong argument is remembered; finish with Return().
class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = kArguments;  // those that are missing become undefined
    void* data = nullptr;
    ok_ = napi_get_cb_info(env, info, &count, values_, nullptr, &data) == napi_ok;
    memory_ = static_cast<Memory*>(data);
  }

  bool ok() const { return ok_; }
  void Require(bool condition) { ok_ = ok_ && condition; }

  uint8_t* Slab() { return Required(memory_->slab.Get(env_)); }
  uint8_t* Datagrams() { return Required(memory_->datagrams.Get(env_)); }
  OwnedFds& Owned() { return memory_->owned; }

  int Int(size_t i) { return static_cast<int>(Integer(i, INT32_MIN, INT32_MAX)); }
  uint32_t Size(size_t i) { return static_cast<uint32_t>(Integer(i, 0, UINT32_MAX)); }
  // A position in a file.
  int64_t Position(size_t i) { return Integer(i, 0, 9007199254740991.0); }

  bool Bool(size_t i) {
    bool value = false;
    Require(napi_get_value_bool(env_, values_[i], &value) == napi_ok);
    return value;
  }

  // What does not fit is longer than any address, path or interface can be, and stays so.
  std::string Text(size_t i) {
    char buffer[256];
    size_t length = 0;
    Require(napi_get_value_string_utf8(env_, values_[i], buffer, sizeof buffer, &length) ==
            napi_ok);
    return ok_ ? std::string(buffer, length) : std::string();
  }

  // 4, 6 or 1.
  int Family(size_t i) {
    const int number = Int(i);
    Require(number == 4 || number == 6 || number == 1);
    return number == 4 ? AF_INET : number == 6 ? AF_INET6 : AF_UNIX;
  }

  // The bytes of a Uint8Array, from `offset` on.
  iovec Bytes(napi_value value, size_t offset) {
    napi_typedarray_type type = napi_uint8_array;
    size_t length = 0;
    void* data = nullptr;
    Require(ok_ &&
            napi_get_typedarray_info(env_, value, &type, &length, &data, nullptr, nullptr) ==
                napi_ok &&
            type == napi_uint8_array && offset <= length);
    if (!ok_) return {};
    return {static_cast<uint8_t*>(data) + offset, length - offset};
  }
  iovec Bytes(size_t i, size_t offset) { return Bytes(values_[i], offset); }

  // The bytes of an array of Uint8Arrays, as many as one call takes; `skip` bytes of the first are
  // left out.
  std::vector<iovec> Vector(size_t i, size_t skip) {
    uint32_t length = 0;
    Require(napi_get_array_length(env_, values_[i], &length) == napi_ok && length > 0);
    if (!ok_) return {};
    std::vector<napi_value> elements(std::min<size_t>(length, kPartsMax));
    for (uint32_t at = 0; ok_ && at < elements.size(); at++) {
      Require(napi_get_element(env_, values_[i], at, &elements[at]) == napi_ok);
    }
    std::vector<iovec> parts(elements.size());
    for (size_t at = 0; ok_ && at < parts.size(); at++) {
      parts[at] = Bytes(elements[at], at == 0 ? skip : 0);
    }
    return parts;
  }

  napi_value Return(IoResult result) {
    if (!ok_) return Refuse();
    napi_value value = nullptr;
    if (result == static_cast<int32_t>(result)) {
      napi_create_int32(env_, static_cast<int32_t>(result), &value);
    } else {
      napi_create_int64(env_, result, &value);
    }
    return value;
  }

  napi_value Return(bool result) {
    if (!ok_) return Refuse();
    napi_value value = nullptr;
    napi_get_boolean(env_, result, &value);
    return value;
  }

  napi_value Return(const std::string& text) {
    if (!ok_) return Refuse();
    napi_value value = nullptr;
    napi_create_string_utf8(env_, text.data(), text.size(), &value);
    return value;
  }

  // As arguments: family (4, 6 or 1), text, port. Nothing: the text is no address.
  std::optional<Address> ToAddress(size_t family_at, size_t text_at, size_t port_at) {
    const int family = Family(family_at);
    const std::string text = Text(text_at);
    const uint32_t port = family == AF_UNIX ? 0 : Size(port_at);
    Require(port <= 65535);
    Address address;
    if (!ok_) return std::nullopt;
    const bool valid = family == AF_UNIX ? address.SetPath(text.data(), text.size())
                                         : IsPlain(text) && address.SetIp(family, text.c_str(),
                                                              static_cast<uint16_t>(port));
    return valid ? std::optional(address) : std::nullopt;
  }

  // False: C would see another text than JavaScript did.
  static bool IsPlain(const std::string& text) { return text.find('\0') == std::string::npos; }

 private:
  static constexpr size_t kArguments = 5;

  napi_value Refuse() {
    napi_throw_type_error(env_, nullptr, "ringloop: an argument of a socket call is wrong");
    return nullptr;
  }

  uint8_t* Required(uint8_t* memory) {
    Require(memory != nullptr);
    return memory;
  }

  int64_t Integer(size_t i, double least, double most) {
    const std::optional<int64_t> value = ToInteger(env_, values_[i], least, most);
    Require(value.has_value());
    return value.value_or(0);
  }

  napi_env env_;
  napi_value values_[kArguments];
  bool ok_ = true;
  Memory* memory_ = nullptr;
};

// ---- streams ------------------------------------------------------------------------------------

// Into the slab: (fd).
template <IoResult (*kCall)(int, void*, size_t)>
napi_value JsReadSlab(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  uint8_t* const slab = call.Slab();
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(kCall(fd, slab, kReceiveBytes));
}

// Into JavaScript's own memory: (fd, bytes, offset).
napi_value JsReceiveInto(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const iovec target = call.Bytes(1, call.Size(2));
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(Receive(fd, target.iov_base, target.iov_len));
}

// From the slab: (fd, offset, length).
template <IoResult (*kCall)(int, const void*, size_t)>
napi_value JsWriteSlab(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t offset = call.Size(1);
  const uint32_t length = call.Size(2);
  const uint8_t* const slab = call.Slab();
  call.Require(offset <= kAddressOffset && length <= kAddressOffset - offset);
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(kCall(fd, slab + offset, length));
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
  const int64_t offset = call.Position(2);
  const uint32_t count = call.Size(3);
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(SendFile(out_fd, in_fd, offset, count));
}

napi_value JsShutdown(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() ? Shutdown(fd, SHUT_WR) : 0);
}

napi_value JsClose(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  if (!call.ok()) return call.Return(IoResult{0});
  (void)call.Owned().Remove(fd);
  return call.Return(CloseFd(fd));
}

// (fd): somebody else has opened it, and it is ours from now on.
napi_value JsAdopt(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  if (!call.ok()) return call.Return(IoResult{0});
  const IoResult prepared = SetNonBlocking(fd);
  return call.Return(prepared < 0 ? prepared : call.Owned().Add(fd));
}

// (fd): it is somebody else's from now on.
napi_value JsRelease(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(IoResult{call.ok() && call.Owned().Remove(fd) ? 0 : -EBADF});
}

// ---- making and naming sockets ------------------------------------------------------------------

// (family, datagram)
napi_value JsOpen(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int family = call.Family(0);
  const int type = call.Bool(1) ? SOCK_DGRAM : SOCK_STREAM;
  return call.Return(call.ok() ? call.Owned().Add(OpenSocket(family, type)) : 0);
}

// (fd, option, family, value)
napi_value JsSetOption(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t option = call.Size(1);
  const int family = call.Family(2);
  const int value = call.Int(3);
  call.Require(option < static_cast<uint32_t>(SocketOption::kCount));
  if (!call.ok()) return call.Return(IoResult{0});
  return call.Return(SetSocketOption(fd, static_cast<SocketOption>(option), family, value));
}

// (fd, family, text, port). EINVAL: the text is no address of that family.
template <IoResult (*kCall)(int, const Address&)>
napi_value JsWithAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const std::optional<Address> address = call.ToAddress(1, 2, 3);
  return call.Return(address ? kCall(fd, *address) : -EINVAL);
}

// (fd, join, family, group, interface)
napi_value JsMembership(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const bool join = call.Bool(1);
  const int family = call.Family(2);
  const std::string text = call.Text(3);
  const std::string interface_text = call.Text(4);
  if (!call.ok()) return call.Return(IoResult{0});
  Address group;
  const bool valid = Call::IsPlain(text) && Call::IsPlain(interface_text) &&
                     group.SetIp(family, text.c_str(), 0);
  if (!valid) return call.Return(IoResult{-EINVAL});
  return call.Return(SetMembership(fd, join, group, interface_text.c_str()));
}

// (fd, family, interface)
napi_value JsMulticastInterface(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const int family = call.Family(1);
  const std::string interface_text = call.Text(2);
  if (!call.ok() || !Call::IsPlain(interface_text)) return call.Return(IoResult{-EINVAL});
  return call.Return(SetMulticastInterface(fd, family, interface_text.c_str()));
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

// Their second result goes to the address page.
template <IoResult (*kCall)(int, Address*)>
napi_value JsToAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  uint8_t* const slab = call.Slab();
  if (!call.ok()) return call.Return(IoResult{0});
  Address address;
  IoResult result = kCall(fd, &address);
  if constexpr (kCall == Accept) result = call.Owned().Add(result);
  if (result >= 0) StoreAddress(address, AddressPage(slab));
  return call.Return(result);
}

// The text of what is in the address page.
napi_value JsAddressText(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint8_t* const slab = call.Slab();
  return call.Return(call.ok() ? AddressText(*AddressPage(slab)) : std::string());
}

// (family, text, port) into the address page. False: not an address.
napi_value JsParseAddress(napi_env env, napi_callback_info info) {
  Call call(env, info);
  uint8_t* const slab = call.Slab();
  const std::optional<Address> address = call.ToAddress(0, 1, 2);
  if (call.ok() && address) StoreAddress(*address, AddressPage(slab));
  return call.Return(address.has_value());
}

// ---- datagrams ----------------------------------------------------------------------------------

// (fd, count): into the slab, one record each; fewer datagrams have larger places.
napi_value JsReceiveBatch(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t count = call.Size(1);
  uint8_t* const datagrams = call.Datagrams();
  call.Require(count > 0 && count <= kDatagramBatch);
  if (!call.ok()) return call.Return(IoResult{0});
  Datagram batch[kDatagramBatch];
  Address addresses[kDatagramBatch];
  const size_t place = kDatagramRecordsOffset / count;
  for (size_t i = 0; i < count; i++) {
    batch[i].data = {datagrams + i * place, place};
    batch[i].address = &addresses[i];
  }
  const IoResult received = ReceiveBatch(fd, batch, count);
  for (IoResult i = 0; i < received; i++) {
    DatagramRecord* record = ReceivedRecord(datagrams, static_cast<size_t>(i));
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

// (fd, count, segmented): from the slab, as the records say.
napi_value JsSendBatch(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  const uint32_t count = call.Size(1);
  const bool segmented = call.Bool(2);
  uint8_t* const datagrams = call.Datagrams();
  call.Require(count > 0 && count <= kDatagramBatch);
  Datagram batch[kDatagramBatch];
  Address addresses[kDatagramBatch];
  size_t offset = 0;
  for (size_t i = 0; call.ok() && i < count; i++) {
    const DatagramRecord& record = *OutgoingRecord(datagrams, i);
    const size_t length = record.length;
    call.Require(length <= kDatagramSendBytes - offset &&
                 LoadTarget(record.address, &addresses[i], &batch[i]));
    batch[i].data = {datagrams + kDatagramSendOffset + offset, length};
    offset += length;
  }
  if (!call.ok()) return call.Return(IoResult{0});
  const IoResult done = SendBatch(fd, batch, count, segmented);
  for (IoResult i = 0; i < done; i++) {
    OutgoingRecord(datagrams, static_cast<size_t>(i))->outcome =
        static_cast<uint32_t>(batch[i].error);
  }
  return call.Return(done);
}

napi_value JsCanSegment(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  return call.Return(call.ok() && CanSegment(fd));
}

// (fd, bytes): one from where it stands, to the address in the first record.
napi_value JsSendDatagram(napi_env env, napi_callback_info info) {
  Call call(env, info);
  const int fd = call.Int(0);
  Datagram datagram;
  datagram.data = call.Bytes(1, 0);
  uint8_t* const datagrams = call.Datagrams();
  Address address;
  call.Require(call.ok() &&
               LoadTarget(OutgoingRecord(datagrams, 0)->address, &address, &datagram));
  if (!call.ok()) return call.Return(IoResult{0});
  if (SendBatch(fd, &datagram, 1) == 0) return call.Return(IoResult{-EAGAIN});
  return call.Return(IoResult{-datagram.error});
}

// ---- the object ---------------------------------------------------------------------------------

Napi::Value Attach(const Napi::CallbackInfo& info) {
  auto* memory = static_cast<Memory*>(info.Data());
  std::optional<size_t> start = memory->slab.Attach(info.Env(), info[0]);
  if (!start) start = memory->datagrams.Attach(info.Env(), info[0]);
  if (start) return Napi::Number::New(info.Env(), static_cast<double>(*start));
  Napi::TypeError::New(info.Env(), "ringloop: the slab has the wrong size")
      .ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

// injectFaults(seed, interrupted, again, short), per mille; seed 0: off. For tests, of this thread.
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
  add("slabBytes", kSlabBytes + kSlabAlignment);
  add("receiveBytes", kReceiveBytes);
  add("sendBytes", kSendBytes);
  add("addressOffset", kAddressOffset);
  add("family", offsetof(AddressRecord, family));
  add("port", offsetof(AddressRecord, port));
  add("ipv4", offsetof(AddressRecord, ipv4));
  add("rawLength", offsetof(AddressRecord, raw_length));
  add("raw", offsetof(AddressRecord, raw));
  add("datagramSlabBytes", kDatagramSlabBytes + kSlabAlignment);
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
  // Not a finalizer of the object: somebody may keep one of its functions and drop the object.
  env.AddCleanupHook([](Memory* finished) { delete finished; }, memory);
  Napi::Object sockets = Napi::Object::New(env);
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function = nullptr;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, memory, &function) == napi_ok) {
      sockets.Set(name, function);
    }
  };
  sockets.Set("layout", DescribeNetLayout(env));
  sockets.Set("attach", Napi::Function::New(env, Attach, "attach", memory));
  add("receive", JsReadSlab<Receive>);
  add("receiveInto", JsReceiveInto);
  add("read", JsReadSlab<Read>);
  add("send", JsWriteSlab<Send>);
  add("sendBytes", JsWriteBytes<Send>);
  add("sendVector", JsWriteVector<SendVector>);
  add("write", JsWriteSlab<Write>);
  add("writeBytes", JsWriteBytes<Write>);
  add("writeVector", JsWriteVector<WriteVector>);
  add("sendFile", JsSendFile);
  add("shutdown", JsShutdown);
  add("close", JsClose);
  add("adopt", JsAdopt);
  add("release", JsRelease);
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
  add("addressText", JsAddressText);
  add("parseAddress", JsParseAddress);
  add("receiveBatch", JsReceiveBatch);
  add("sendBatch", JsSendBatch);
  add("sendDatagram", JsSendDatagram);
  add("canSegment", JsCanSegment);
  add("injectFaults", JsInjectFaults);
  return sockets;
}

}  // namespace ringloop
