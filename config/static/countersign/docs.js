// Swagger UI with the document of each dialect to choose from. A key that is given to it stays in the page.
(() => {
  "use strict";
  const urls = JSON.parse(document.getElementById("documents").textContent);
  SwaggerUIBundle({
    urls,
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    // The logo brings a style sheet of its own, which this page's policy does not let in.
    plugins: [() => ({ components: { Logo: () => null } })],
    layout: "StandaloneLayout",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    filter: true,
    persistAuthorization: false,
    validatorUrl: null,
    // What is tried needs no cookie of the admin's, whose session would hide a wrong key.
    requestInterceptor: (request) => Object.assign(request, { credentials: "omit" }),
  });
})();
