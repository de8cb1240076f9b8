// BullMQ on Redis, results kept: `fill COUNT` queues, `work` is one worker process.
const { Queue, Worker } = require("bullmq");

const url = new URL(process.env.BENCH_BROKER);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };

async function fill(count) {
  const queue = new Queue("bench", { connection });
  for (let start = 0; start < count; start += 500) {
    const made = [];
    for (let n = start; n < Math.min(start + 500, count); n++) {
      made.push({ name: "noop", data: { number: n } });
    }
    await queue.addBulk(made);
  }
  await queue.close();
}

function work() {
  new Worker("bench", async (job) => job.data.number, { connection, concurrency: 100 });
}

if (process.argv[2] === "fill") fill(Number(process.argv[3]));
else work();
