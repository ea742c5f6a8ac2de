"use strict";

// The keys that the document shows as examples stand for "one of your own".
const exampleKey = /^7d0f6c1e-[a-z]+-1$/;

// The first server of the document is for programs that are made from it; this page asks whoever serves it.
async function show() {
  const response = await fetch("/openapi.json");
  const spec = { ...(await response.json()), servers: [{ url: "/" }] };
  SwaggerUIBundle({
    spec,
    dom_id: "#docs",
    deepLinking: true,
    displayRequestDuration: true,
    filter: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // else a service on another host is asked
    requestInterceptor: (request) => {
      if (exampleKey.test(request.headers?.["Idempotency-Key"] ?? "")) {
        request.headers["Idempotency-Key"] = crypto.randomUUID();
      }
      return request;
    },
  });
}

show();
