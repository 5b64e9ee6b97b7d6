// Drives a sandbox with OpenAI's Node SDK as its user would, and prints what it saw as JSON.
// `node drive_openai.mjs TRAINING_FILE`; the SDK reads its key and address from the environment.
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Is it late?" }];
const file = await client.files.create({ file: fs.createReadStream(process.argv[2]), purpose: "fine-tune" });
let job = await client.fineTuning.jobs.create({ model: "sandbox-small", training_file: file.id });
const statuses = new Set([job.status]);
while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  job = await client.fineTuning.jobs.retrieve(job.id);
  statuses.add(job.status);
}
const checkpoints = [];
for await (const checkpoint of client.fineTuning.jobs.checkpoints.list(job.id)) {
  checkpoints.push(checkpoint.fine_tuned_model_checkpoint);
}
const content = await client.files.content(job.result_files[0]);
const results = Buffer.from(await content.text(), "base64").toString().split("\n")[0];
const model = job.fine_tuned_model;
const whole = await client.chat.completions.create({ model, messages });
let streamed = "";
let pieces = 0;
let usage = null;
const options = { include_usage: true };
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, stream_options: options })) {
  streamed += chunk.choices[0]?.delta.content ?? "";
  pieces += 1;
  usage = chunk.usage ? { total_tokens: chunk.usage.total_tokens } : null;
}
const gathered = await client.chat.completions.stream({ model, messages }).finalContent();
const response = await client.responses.create({ model, input: "Is it late?" });
let streamedResponse = "";
for await (const event of await client.responses.create({ model, input: "Is it late?", stream: true })) {
  if (event.type === "response.output_text.delta") streamedResponse += event.delta;
}
console.log(
  JSON.stringify({
    statuses: [...statuses],
    model,
    checkpoints,
    results,
    whole: whole.choices[0].message.content,
    streamed,
    pieces,
    usage,
    gathered,
    response: response.output_text,
    streamed_response: streamedResponse,
    final_response: response.output_text,
  }),
);
