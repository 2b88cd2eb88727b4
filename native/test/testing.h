// testing.h -- the whole test harness: a fresh clone has a compiler and nothing else.
//
//   TEST("a sentence that is true") { CHECK(condition); CHECK_EQUAL(actual, expected); }
//
// Decision.   A failed check prints file:line and the test goes on. `x_test part` runs the tests
//             whose sentence contains `part`. Included by one .cc file per executable: has main().
#pragma once

#include <cstring>
#include <iostream>
#include <type_traits>
#include <utility>
#include <vector>

namespace ringloop::testing {

inline std::vector<std::pair<const char*, void (*)()>> tests;  // sentence and body
inline std::vector<const char*> arguments;  // of the executable, its own name first
inline int failures = 0;                    // of the test that runs

template <typename T>
void Print(const T& value) {
  if constexpr (requires { value.begin(); }) {
    std::cout << "[ ";
    for (const auto& element : value) Print(element), std::cout << ' ';
    std::cout << ']';
  } else if constexpr (requires { value.first; }) {
    Print(value.first), std::cout << ": ", Print(value.second);
  } else {
    std::cout << +value;
  }
}

template <typename A, typename B>
void CheckEqual(const A& actual, const B& expected, const char* text, const char* file, int line) {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
    if (std::cmp_equal(+actual, +expected)) return;
  } else {
    if (actual == expected) return;
  }
  failures++;
  std::cout << file << ':' << line << ": " << text << " is ";
  Print(actual), std::cout << ", expected ", Print(expected), std::cout << std::endl;
}

inline void Check(bool holds, const char* text, const char* file, int line) {
  if (holds) return;
  failures++;
  std::cout << file << ':' << line << ": not true: " << text << std::endl;
}

}  // namespace ringloop::testing

#define CHECK(...) ::ringloop::testing::Check(bool(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
#define CHECK_EQUAL(actual, ...) \
  ::ringloop::testing::CheckEqual((actual), (__VA_ARGS__), #actual, __FILE__, __LINE__)
#define TEST_AT(sentence, line)                                                    \
  static void TestAtLine##line();                                                  \
  [[maybe_unused]] static const bool known##line =                                 \
      (::ringloop::testing::tests.emplace_back(sentence, TestAtLine##line), true); \
  static void TestAtLine##line()
#define TEST_EXPANDED(sentence, line) TEST_AT(sentence, line)
#define TEST(sentence) TEST_EXPANDED(sentence, __LINE__)

int main(int argc, char** argv) {
  using namespace ringloop::testing;
  arguments.assign(argv, argv + argc);
  int ran = 0, failed = 0;
  for (const auto& [sentence, body] : tests) {
    if (argc > 1 && std::strstr(sentence, argv[1]) == nullptr) continue;
    ran++, failures = 0;
    body();
    if (failures > 0) failed++;
    std::cout << (failures == 0 ? "ok    " : "FAIL  ") << sentence << std::endl;
  }
  if (ran == 0) std::cout << "no test has that name" << std::endl;
  return ran > 0 && failed == 0 ? 0 : 1;
}
