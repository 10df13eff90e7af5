"""The shaders of the scene, in GLSL 1.30, which every desktop OpenGL since 3.0 and Mesa's software one understand."""

LIT_VERTEX = """#version 130
in vec4 p3d_Vertex;
in vec3 p3d_Normal;
in vec4 p3d_Color;
uniform mat4 p3d_ModelViewProjectionMatrix;
uniform mat4 p3d_ModelMatrix;
uniform vec3 sun_way;
uniform vec2 light;      // from everywhere, from the sun
uniform vec3 paint;
out vec3 place;
out vec4 shade;          // colour in this light, and the grain
void main() {
    vec4 world = p3d_ModelMatrix * p3d_Vertex;
    vec3 normal = normalize(mat3(p3d_ModelMatrix) * p3d_Normal);
    float mark = p3d_Color.a;
    vec3 base = mark < -0.5 && mark > -1.5 ? paint : p3d_Color.rgb;
    float bright = light.x + light.y * max(dot(normal, sun_way), 0.0);
    if (mark < -1.5) bright = max(bright, 0.9);
    shade = vec4(base * bright, max(mark, 0.0));
    place = world.xyz;
    gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex;
}
"""

LIT_FRAGMENT = """#version 130
in vec3 place;
in vec4 shade;
uniform sampler2D grain;
uniform vec3 eye;
uniform vec3 air;
uniform float haze_m;
uniform vec4 headlamps;  // where they are, and which way they look
uniform float lamps;
out vec4 colour;
void main() {
    vec3 seen = shade.rgb;
    if (shade.a > 0.0) {
        float near = texture(grain, place.xy / 9.0).r, far = texture(grain, place.yx / 67.0).r;
        seen *= 1.0 + shade.a * (near + far - 1.0) * 2.0;
    }
    if (lamps > 0.0) {
        vec2 away = place.xy - headlamps.xy;
        float reach = length(away);
        float ahead = dot(away, headlamps.zw) / max(reach, 0.001);
        float aside = acos(clamp(ahead, -1.0, 1.0)) / 0.38;
        float near = 1.0 - exp(-reach * reach / 9.0);
        seen *= 1.0 + 6.0 * lamps * step(0.0, ahead) * exp(-aside * aside) * (0.35 + 0.65 * near)
            / (1.0 + reach * reach / 676.0);
    }
    float clear = exp(-distance(place, eye) / haze_m);
    colour = vec4(mix(air, seen, clear), 1.0);
}
"""

SHADOW_VERTEX = """#version 130
in vec4 p3d_Vertex;
uniform mat4 p3d_ModelViewProjectionMatrix;
void main() { gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex; }
"""

SHADOW_FRAGMENT = """#version 130
uniform float shadow;
out vec4 colour;
void main() { colour = vec4(0.0, 0.0, 0.0, shadow); }
"""

SKY_VERTEX = """#version 130
in vec4 p3d_Vertex;
in vec2 p3d_MultiTexCoord0;
uniform mat4 p3d_ModelViewProjectionMatrix;
out vec2 at;
void main() {
    at = p3d_MultiTexCoord0;
    gl_Position = p3d_ModelViewProjectionMatrix * p3d_Vertex;
}
"""

SKY_FRAGMENT = """#version 130
in vec2 at;
uniform sampler2D panorama;
out vec4 colour;
void main() { colour = vec4(texture(panorama, at).rgb, 1.0); }
"""
