// The Vercel AI SDK, with one of its providers: the environment E2E_PROVIDER names it.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool as asTool } from 'ai';
import { KEY, ORIGIN, PERSON_SCHEMA, WEATHER_SCHEMA, getWeather, run } from './running.mjs';

const openAI = { baseURL: `${ORIGIN}/v1`, apiKey: KEY };

function modelFor({ dialect, model }) {
  if (process.env.E2E_PROVIDER === 'compatible') {
    const named = { name: 'pointsman', includeUsage: true, supportsStructuredOutputs: true };
    return createOpenAICompatible({ ...openAI, ...named })(model);
  }
  if (dialect === 'openai-chat') return createOpenAI(openAI).chat(model);
  if (dialect === 'openai-responses') return createOpenAI(openAI).responses(model);
  if (dialect === 'anthropic') return createAnthropic(openAI)(model);
  return createGoogleGenerativeAI({ baseURL: `${ORIGIN}/v1beta`, apiKey: KEY })(model);
}

const fieldsOf = (asked, more) => ({
  model: modelFor(asked),
  system: 'Be brief.',
  prompt: asked.prompt,
  maxRetries: 0,
  stopWhen: stepCountIs(5),
  providerOptions: { openai: { store: false } },
  ...more,
});

async function plain(asked) {
  const { text, response, usage } = await generateText(fieldsOf(asked));
  const header = response.headers?.['x-pointsman-model'];
  return { text, model: response.modelId, header, ...counted(usage) };
}

async function stream(asked) {
  return streamed(fieldsOf(asked));
}

const counted = ({ inputTokens, outputTokens }) => ({
  input_tokens: inputTokens,
  output_tokens: outputTokens,
});

async function streamed(fields) {
  let failure;
  const answer = streamText({ ...fields, onError: ({ error }) => (failure = error) });
  let text = '';
  for await (const piece of answer.textStream) text += piece;
  if (failure) throw failure;
  const { modelId } = await answer.response;
  return { text, model: modelId, ...counted(await answer.usage) };
}

function withTool(calls) {
  const weather = asTool({
    description: 'Tell the weather.',
    inputSchema: jsonSchema(WEATHER_SCHEMA),
    execute: async (given) => {
      calls.push(['get_weather', given]);
      return getWeather(given);
    },
  });
  return { tools: { get_weather: weather } };
}

async function tool(asked) {
  const calls = [];
  const { text } = await generateText(fieldsOf(asked, withTool(calls)));
  return { text, calls };
}

async function toolStream(asked) {
  const calls = [];
  const { text } = await streamed(fieldsOf(asked, withTool(calls)));
  return { text, calls };
}

async function data(asked) {
  const { object } = await generateObject(fieldsOf(asked, { schema: jsonSchema(PERSON_SCHEMA) }));
  return { data: object };
}

await run({
  plain,
  stream,
  tool,
  'tool stream': toolStream,
  thinking: tool,
  'thinking stream': toolStream,
  data,
  missing: plain,
});
