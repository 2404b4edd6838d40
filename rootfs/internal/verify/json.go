package verify

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// JSON is {"checked": n, "deviations": [{"pointer", "target", "aspect", "want", "got"}, ...]}.
func (r *Report) JSON() []byte {
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out, jsontext.AllowInvalidUTF8(true), jsontext.WithIndent("  "))
	write := func(tokens ...jsontext.Token) {
		for _, t := range tokens {
			// A buffer takes everything, and the tokens are in order.
			_ = enc.WriteToken(t)
		}
	}
	write(jsontext.BeginObject, jsontext.String("checked"), jsontext.Int(int64(r.Checked)),
		jsontext.String("deviations"), jsontext.BeginArray)
	for _, d := range r.Deviations {
		write(jsontext.BeginObject,
			jsontext.String("pointer"), jsontext.String(d.Pointer),
			jsontext.String("target"), jsontext.String(d.Target),
			jsontext.String("aspect"), jsontext.String(d.Aspect),
			jsontext.String("want"), jsontext.String(d.Want),
			jsontext.String("got"), jsontext.String(d.Got), jsontext.EndObject)
	}
	write(jsontext.EndArray, jsontext.EndObject)
	return out.Bytes()
}
