// A chip's test bench, cycle by cycle: an AXI4 memory that checks its master, and the host's register port.
// Python puts before this text: BEAT (bytes), LIMIT (4 KiB), and HAS_<PORT> for each port that a chip may leave out.
#include <cstdio>
#include <deque>
#include <vector>
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

enum Counter {
  CYCLES, READ_BURSTS, READ_BEATS, WRITE_BURSTS, WRITE_BEATS,
  CROSSED, UNSTABLE_AR, UNSTABLE_AW, UNSTABLE_W, WRONG_LAST, OUTSIDE, NOT_PLAIN, COUNTERS
};

struct Burst {
  uint64_t address;  // of the first whole beat
  uint64_t beats, done, at;  // `at`: the first cycle in which the memory may answer
};

struct Machine {
  Model* model;
  uint8_t* memory;
  uint64_t size, read_latency, write_latency, random;
  uint32_t stall;  // of 2^32
  uint64_t now = 0;
  uint64_t counter[COUNTERS] = {}, first[COUNTERS] = {};
  std::deque<Burst> reads, writes, answers;
  std::deque<std::vector<uint8_t>> beats;  // data, strobe, last: beats may come before their address
  bool offers_r = false, offers_b = false, outside_r = false, outside_w = false;
  std::deque<bool> wrong;  // of each write that waits for its response
  // What a master offered and the memory did not take: it must be there, unchanged, in the next cycle.
  bool held_ar = false, held_aw = false, held_w = false;
  uint64_t ar[4], aw[4];
  std::vector<uint8_t> w;
#if VM_TRACE
  VerilatedVcdC* trace = nullptr;
#endif
  uint64_t trace_from = 0, trace_to = 0;

  bool stalls() {
    if (!stall) return false;
    random += 0x9E3779B97F4A7C15u;  // SplitMix64
    uint64_t z = random;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return uint32_t((z ^ (z >> 31)) >> 32) < stall;
  }

  void blame(Counter what) {
    if (!counter[what]++) first[what] = now;
  }

  bool fits(uint64_t address) const { return address < size && size - address >= BEAT; }

  // Offers what the memory offers in this cycle and lets the design answer.
  void drive() {
    auto t = model->top;
    t->axi_arready = !stalls();
    t->axi_awready = !stalls();
    t->axi_wready = !stalls();
    if (!offers_r && !reads.empty() && reads.front().at <= now && !stalls()) {
      offers_r = true;
      const Burst& b = reads.front();
      const uint64_t from = b.address + b.done * BEAT;
      outside_r = !fits(from);
      uint8_t word[BEAT] = {};
      if (outside_r) blame(OUTSIDE);
      else std::memcpy(word, memory + from, BEAT);
      std::memcpy(&t->axi_rdata, word, BEAT);
      t->axi_rlast = b.done + 1 == b.beats;
#ifdef HAS_AXI_RRESP
      t->axi_rresp = outside_r ? 3 : 0;
#endif
    }
    t->axi_rvalid = offers_r;
    if (!offers_b && !answers.empty() && answers.front().at <= now && !stalls()) {
      offers_b = true;
#ifdef HAS_AXI_BRESP
      t->axi_bresp = wrong.front() ? 3 : 0;
#endif
    }
    t->axi_bvalid = offers_b;
    t->clk = 0;
    t->eval();
    dump(0);
  }

  // Takes what was handed over in this cycle, and gives the clock's edge.
  void edge() {
    auto t = model->top;
    read_side();
    write_address();
    write_data();
    if (offers_b && t->axi_bready) {
      offers_b = false;
      answers.pop_front();
      wrong.pop_front();
    }
    t->clk = 1;
    t->eval();
    dump(1);
    now++;
    counter[CYCLES]++;
  }

  void read_side() {
    auto t = model->top;
    if (offers_r && t->axi_rready) {
      offers_r = false;
      counter[READ_BEATS]++;
      if (++reads.front().done == reads.front().beats) reads.pop_front();
    }
    uint64_t seen[4] = {t->axi_araddr, t->axi_arlen, 0, 1};
#ifdef HAS_AXI_ARSIZE
    seen[2] = t->axi_arsize;
#endif
#ifdef HAS_AXI_ARBURST
    seen[3] = t->axi_arburst;
#endif
    if (held_ar && (!t->axi_arvalid || std::memcmp(seen, ar, sizeof ar))) blame(UNSTABLE_AR);
    held_ar = t->axi_arvalid && !t->axi_arready;
    std::memcpy(ar, seen, sizeof ar);
    if (!t->axi_arvalid || !t->axi_arready) return;
    counter[READ_BURSTS]++;
#ifdef HAS_AXI_ARSIZE
    if ((uint64_t(1) << seen[2]) != BEAT) blame(NOT_PLAIN);
#endif
    if (seen[3] != 1) blame(NOT_PLAIN);
    reads.push_back(burst(seen, now + 1 + read_latency));
  }

  void write_address() {
    auto t = model->top;
    uint64_t seen[4] = {t->axi_awaddr, t->axi_awlen, 0, 1};
#ifdef HAS_AXI_AWSIZE
    seen[2] = t->axi_awsize;
#endif
#ifdef HAS_AXI_AWBURST
    seen[3] = t->axi_awburst;
#endif
    if (held_aw && (!t->axi_awvalid || std::memcmp(seen, aw, sizeof aw))) blame(UNSTABLE_AW);
    held_aw = t->axi_awvalid && !t->axi_awready;
    std::memcpy(aw, seen, sizeof aw);
    if (!t->axi_awvalid || !t->axi_awready) return;
    counter[WRITE_BURSTS]++;
#ifdef HAS_AXI_AWSIZE
    if ((uint64_t(1) << seen[2]) != BEAT) blame(NOT_PLAIN);
#endif
    if (seen[3] != 1) blame(NOT_PLAIN);
    writes.push_back(burst(seen, 0));
  }

  Burst burst(const uint64_t* seen, uint64_t at) {
    Burst made{seen[0] / BEAT * BEAT, seen[1] + 1, 0, at};
    if (made.address / LIMIT != (made.address + made.beats * BEAT - 1) / LIMIT) blame(CROSSED);
    return made;
  }

  void write_data() {
    auto t = model->top;
    constexpr size_t strobe = (BEAT + 7) / 8;
    if (t->axi_wvalid || held_w) {
      std::vector<uint8_t> seen(BEAT + strobe + 1);
      std::memcpy(seen.data(), &t->axi_wdata, BEAT);
      std::memcpy(seen.data() + BEAT, &t->axi_wstrb, strobe);
      seen.back() = t->axi_wlast;
      if (held_w && (!t->axi_wvalid || seen != w)) blame(UNSTABLE_W);
      held_w = t->axi_wvalid && !t->axi_wready;
      w = seen;
      if (t->axi_wvalid && t->axi_wready) {
        counter[WRITE_BEATS]++;
        beats.push_back(std::move(seen));
      }
    }
    for (; !beats.empty() && !writes.empty(); beats.pop_front()) {
      Burst& b = writes.front();
      const auto& beat = beats.front();
      const uint64_t to = b.address + b.done * BEAT;
      if (!fits(to)) blame(OUTSIDE), outside_w = true;
      else
        for (size_t i = 0; i < BEAT; i++)
          if (beat[BEAT + i / 8] >> (i % 8) & 1) memory[to + i] = beat[i];
      const bool last = ++b.done == b.beats;
      if (last != bool(beat.back())) blame(WRONG_LAST);
      if (!last) continue;
      b.at = now + 1 + write_latency;
      answers.push_back(b);
      wrong.push_back(outside_w);
      outside_w = false;
      writes.pop_front();
    }
  }

  void cycle() {
    drive();
    edge();
  }

  void settle() {
    model->top->clk = 0;
    model->top->eval();
  }

  void dump(int half) {
#if VM_TRACE
    if (trace && now >= trace_from && now < trace_to) trace->dump(2 * now + half);
    if (trace && half && now + 1 == trace_to) close();
#endif
  }

  void close() {
#if VM_TRACE
    if (!trace) return;
    trace->close();
    delete trace;
    trace = nullptr;
#endif
  }
};

extern "C" {
Machine* machine_new(Model* model, uint8_t* memory, uint64_t size, uint64_t read_latency, uint64_t write_latency,
                     uint32_t stall, uint64_t seed) {
  auto x = new Machine{model, memory, size, read_latency, write_latency, seed, stall};
  auto t = model->top;
  t->axi_arready = t->axi_rvalid = t->axi_awready = t->axi_wready = t->axi_bvalid = 0;
  t->ctl_addr = t->ctl_write = t->ctl_wdata = 0;
#ifdef HAS_RST
  t->rst = 1;
  model_step(model, 4);
  t->rst = 0;
#endif
  x->settle();
  return x;
}
void machine_free(Machine* x) {
  x->close();
  delete x;
}
uint64_t* machine_counters(Machine* x) { return x->counter; }
uint64_t* machine_first(Machine* x) { return x->first; }
uint64_t machine_outstanding(Machine* x) {
  return x->reads.size() + x->writes.size() + x->answers.size() + x->beats.size();
}
// Returns the cycles given; stops before the edge of the first cycle in which the chip says it has halted.
uint64_t machine_run(Machine* x, uint64_t cycles, int until_halted) {
  for (uint64_t n = 0; n < cycles; n++) {
    x->drive();
    if (until_halted && x->model->top->halted) return n;
    x->edge();
  }
  x->settle();
  return cycles;
}
void machine_write(Machine* x, uint32_t address, uint32_t stride, const uint32_t* words, uint64_t n) {
  auto t = x->model->top;
  t->ctl_write = 1;
  for (uint64_t i = 0; i < n; i++) {
    t->ctl_addr = address + uint32_t(i) * stride;
    t->ctl_wdata = words[i];
    x->cycle();
  }
  t->ctl_write = 0;
  x->settle();
}
void machine_read(Machine* x, uint32_t address, uint32_t stride, uint32_t* words, uint64_t n) {
  auto t = x->model->top;
  for (uint64_t i = 0; i < n; i++) {
    t->ctl_addr = address + uint32_t(i) * stride;
    x->cycle();
    x->settle();
    words[i] = t->ctl_rdata;
  }
}
// Returns 0 where the model was built without waveforms, or the file cannot be written.
int machine_trace(Machine* x, const char* path, uint64_t from, uint64_t cycles) {
#if VM_TRACE
  x->close();
  x->model->context->traceEverOn(true);
  x->trace = new VerilatedVcdC;
  x->model->top->trace(x->trace, 99);
  x->trace->open(path);
  if (!x->trace->isOpen()) return x->close(), 0;
  x->trace_from = x->now + from;
  x->trace_to = x->trace_from + cycles;
  return 1;
#else
  return 0;
#endif
}
}
