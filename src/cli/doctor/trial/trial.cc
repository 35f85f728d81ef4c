// trial.cc - the child and its parent: rows come through a pipe as lines of JSON, each announced before it is tried.
#include "cli/doctor/trial/trial.h"
#include "cli/text/json.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace aiox::cli::doctor {
namespace {

constexpr int kRowTimeoutMs = 8'000;

Json to_json(const std::optional<Outcome>& outcome) {
  if (!outcome) return nullptr;
  const Outcome& o = *outcome;
  return Json::array({o.count, o.error, o.by_lane, o.handed_on, o.call_ns_max});
}

std::optional<Outcome> outcome_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  Outcome outcome{json[0], json[1], {}, json[3], json[4]};
  json[2].get_to(outcome.by_lane);
  return outcome;
}

Json to_json(const std::optional<Alignment>& alignment) {
  if (!alignment) return nullptr;
  return Json::array({alignment->memory_bytes, alignment->offset_bytes});
}

std::optional<Alignment> alignment_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  return Alignment{json[0], json[1]};
}

std::string line_of(const Row& row, bool is_end) {
  const Json json = {{"end", is_end},
                     {"id", row.id},
                     {"title", row.title},
                     {"on", row.on},
                     {"skipped", row.skipped},
                     {"failed", row.has_failed},
                     {"alone", to_json(row.alone)},
                     {"at_once", to_json(row.at_once)},
                     {"direct", to_json(row.direct)}};
  return json_text(json, kOnOneLine) + "\n";
}

Row row_of(const Json& json) {
  return {json["id"],
          json["title"],
          json["on"],
          json["skipped"],
          json["failed"],
          outcome_of(json["alone"]),
          outcome_of(json["at_once"]),
          alignment_of(json["direct"])};
}

void write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count <= 0) ::_exit(1);
    done += static_cast<std::size_t>(count);
  }
}

[[noreturn]] void be_child(const Storage& storage, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Should it never end, nobody who reads our output is to wait for it.
  if (const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC); null >= 0) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  }
  ::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error like any other
  ::signal(SIGPIPE, SIG_IGN);
  const Reporter report = {[out](const Row& row) { write_all(out, line_of(row, false)); },
                           [out](const Row& row) { write_all(out, line_of(row, true)); }};
  warm_up();
  switch (storage.kind) {
    case PathKind::kFile:
    case PathKind::kFolder: try_file(storage, report); break;
    case PathKind::kBlockDevice: try_device(storage, report); break;
    default: try_stream(storage, report); break;
  }
  ::_exit(0);
}

// Reads the child's lines until it ends or keeps silent for too long; then the row that it had begun is the last one.
class Listener {
 public:
  Listener(int in, const std::function<void(const std::string&)>& progress) : in_(in), progress_(progress) {}

  std::vector<Row> listen() {
    for (;;) {
      pollfd wait{in_, POLLIN, 0};
      const int ready = ::poll(&wait, 1, kRowTimeoutMs);
      if (ready < 0 && errno == EINTR) continue;
      char buffer[4096];
      const ssize_t count = ready > 0 ? ::read(in_, buffer, sizeof buffer) : 0;
      if (count > 0) {
        take(std::string(buffer, static_cast<std::size_t>(count)));
        continue;
      }
      if (begun_) {
        begun_->skipped =
            ready == 0 ? fmt::format("did not end within {} seconds", kRowTimeoutMs / 1000) : "the trial crashed";
        begun_->has_failed = true;
        rows_.push_back(*begun_);
      }
      return std::move(rows_);
    }
  }

 private:
  void take(const std::string& text) {
    unread_ += text;
    for (std::size_t end; (end = unread_.find('\n')) != std::string::npos; unread_.erase(0, end + 1)) {
      const Json line = Json::parse(unread_.substr(0, end), nullptr, false);
      if (line.is_discarded()) continue;
      const Row row = row_of(line);
      if (line["end"]) {
        rows_.push_back(row);
        begun_.reset();
      } else {
        begun_ = row;
        progress_(row.title);
      }
    }
  }

  int in_;
  const std::function<void(const std::string&)>& progress_;
  std::string unread_;
  std::optional<Row> begun_;
  std::vector<Row> rows_;
};

}  // namespace

std::vector<Row> try_requests(const Storage& storage, const std::function<void(const std::string&)>& progress) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const pid_t child = ::fork();
  if (child == 0) be_child(storage, ends[1]);
  ::close(ends[1]);
  if (child < 0) {
    Row row;
    row.id = row.title = "all";
    row.skipped = fmt::format("no process can be started: {}", std::strerror(errno));
    row.has_failed = true;
    ::close(ends[0]);
    return {row};
  }
  std::vector<Row> rows = Listener(ends[0], progress).listen();
  ::close(ends[0]);
  ::kill(child, SIGKILL);
  // One that waits for a device that is gone cannot be killed: then it is left to init.
  for (int i = 0; i < 100 && ::waitpid(child, nullptr, WNOHANG) == 0; ++i) ::usleep(10'000);
  return rows;
}

}  // namespace aiox::cli::doctor
