//! Steps of shoppers that upstream's shop does not have: a search, changes of a cart, and the lines of an order.

use boutique_service::Env;
use http::header;

use crate::open;

#[tokio::test]
async fn search_finds_names_and_descriptions() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let page = visitor.get("/search?q=+Candle+").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("/product/0PUK6V6EV0") && page.body.contains("1 found for"));
    assert!(page.body.contains("$18.99") && page.body.contains("name=\"q\" value=\"Candle\""));
    // A word of a description, whatever its case, in the currency of the visitor.
    visitor.post("/setCurrency", &[("currency_code", "EUR")]).await;
    let page = visitor.get("/search?q=FRAMES").await;
    assert!(page.body.contains("/product/OLJCESPC7Z") && page.body.contains("€17.68"));

    let nothing = visitor.get("/search?q=zeppelin").await;
    assert_eq!(nothing.status, 200);
    assert!(nothing.body.contains("Nothing found for &ldquo;zeppelin&rdquo;"));
    assert!(nothing.body.contains("You May Also Like"), "there is something to look at");
    for without in ["/search", "/search?q=", "/search?q=%20"] {
        let page = visitor.get(without).await;
        assert!(page.status == 200 && page.body.contains("Enter a word"), "{without}");
    }
    let markup = visitor.get("/search?q=%3Cscript%3E%22").await;
    assert!(!markup.body.contains("<script>\"") && markup.body.contains("&#60;script&#62;&#34;"));
    for (query, status) in [("é".repeat(200), 200), ("x".repeat(201), 422), ("%ff".into(), 422)] {
        assert_eq!(visitor.get(&format!("/search?q={query}")).await.status, status, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn categories_lead_to_their_products() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let home = visitor.get("/").await;
    assert!(home.body.contains("<a href=\"/category/kitchen\">kitchen</a>"), "{}", home.body);
    let kitchen = visitor.get("/category/kitchen").await;
    assert!(kitchen.status == 200 && kitchen.body.contains("<h1>kitchen</h1>"));
    assert!(kitchen.body.contains("href=\"/category/kitchen\" aria-current=\"page\""));
    assert!(kitchen.body.contains("/product/6E92ZMYYFZ"), "a mug");
    assert!(!kitchen.body.contains("/product/OLJCESPC7Z"), "no sunglasses");
    let mug = visitor.get("/product/6E92ZMYYFZ").await;
    assert!(mug.body.contains("<a href=\"/category/kitchen\">kitchen</a>"));
    for unknown in ["/category/none", "/category/%22%3E%3Cscript%3E", "/category/KITCHEN"] {
        let page = visitor.get(unknown).await;
        assert!(page.status == 404 && page.body.contains("Uh, oh!"), "{unknown}");
        assert!(!page.body.contains("\"><script>"));
    }
    Ok(())
}

#[tokio::test]
async fn quantity_of_a_line_is_changed_and_the_line_removed() -> anyhow::Result<()> {
    change_quantities(&Env::default()).await
}

#[tokio::test]
async fn quantity_of_a_line_is_changed_in_upstreams_cart_service() -> anyhow::Result<()> {
    // It does not have this method: all is taken out, and the rest put back.
    let fault =
        "faults: [{name: upstream, rpc: boutique.ext.v1.Carts/RemoveItems, status: UNIMPLEMENTED}]";
    change_quantities(&Env::from([("FAULTS", fault)])).await
}

async fn change_quantities(settings: &Env) -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(settings).await?;
    visitor.add("OLJCESPC7Z", 2).await;
    visitor.add("66VCHSJNUP", 1).await;
    for (quantity, shown) in [("5", 6), ("1", 2), ("1", 2), ("999", 1000), ("3", 4)] {
        let form = [("product_id", "OLJCESPC7Z"), ("quantity", quantity)];
        let answer = visitor.post("/cart/update", &form).await;
        assert_eq!((answer.status.as_u16(), answer.header(header::LOCATION)), (302, "/cart"));
        let cart = visitor.get("/cart").await;
        assert!(cart.body.contains(&format!("Cart ({shown})")), "{quantity}");
        assert!(cart.body.contains(&format!("Quantity: {quantity}<")), "{quantity}");
    }
    for quantity in ["", "-1", "1000", "1e2", "4294967297"] {
        let form = [("product_id", "OLJCESPC7Z"), ("quantity", quantity)];
        assert_eq!(visitor.post("/cart/update", &form).await.status, 422, "{quantity}");
    }
    // What is not in the cart does not come in this way, and none of it takes the line out.
    for (id, quantity) in [("1YMWWN1N4O", "3"), ("NOPE", "3"), ("OLJCESPC7Z", "0")] {
        let form = [("product_id", id), ("quantity", quantity)];
        assert_eq!(visitor.post("/cart/update", &form).await.status, 302);
    }
    let cart = visitor.get("/cart").await;
    assert!(cart.body.contains("Cart (1)") && !cart.body.contains("OLJCESPC7Z</div>"));
    visitor.post("/cart/remove", &[("product_id", "66VCHSJNUP")]).await;
    assert!(visitor.get("/cart").await.body.contains("Your shopping cart is empty!"));
    Ok(())
}

#[tokio::test]
async fn pages_about_something_else_show_the_size_of_the_cart() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let badge = "<span class=\"cart-size-circle\">3</span>";
    visitor.add("OLJCESPC7Z", 3).await;
    for (path, status) in
        [("/orders", 200), ("/product/NOPE", 404), ("/orders/nope", 404), ("/search?q=mug", 200)]
    {
        let page = visitor.get(path).await;
        assert!(page.status == status && page.body.contains(badge), "{path}: {}", page.body);
    }
    let refused = visitor.post("/cart", &[("product_id", "OLJCESPC7Z"), ("quantity", "0")]).await;
    assert!(refused.status == 422 && refused.body.contains(badge), "{}", refused.body);
    visitor.cookies.clear();
    assert!(!visitor.get("/product/NOPE").await.body.contains("cart-size-circle"));
    Ok(())
}

#[tokio::test]
async fn previews_elsewhere_find_the_picture_of_a_product() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::from([("TRUST_PROXY", "1")])).await?;
    let picture = "/static/img/products/sunglasses.jpg";
    let own = format!("<meta property=\"og:image\" content=\"{}{picture}\">", visitor.base);
    assert!(visitor.get("/product/OLJCESPC7Z").await.body.contains(&own), "{own}");
    visitor.headers = vec![
        ("x-forwarded-host", "shop.example".to_owned()),
        ("x-forwarded-proto", "https".to_owned()),
    ];
    let page = visitor.get("/product/OLJCESPC7Z").await;
    let public = format!("content=\"https://shop.example{picture}\"");
    assert!(page.body.contains(&public), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn order_page_says_what_was_ordered() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.get("/").await;
    visitor.add("OLJCESPC7Z", 2).await;
    visitor.add("66VCHSJNUP", 1).await;
    let order = visitor.check_out(&[]).await;
    assert_eq!(order.status, 200);
    for text in ["2 &times; <a href=\"/product/OLJCESPC7Z\">Sunglasses</a>", ">Tank Top</a>"] {
        assert!(order.body.contains(text), "{text}: {}", order.body);
    }
    assert!(order.body.contains("$39.98") && order.body.contains("$18.99"));
    assert!(order.body.contains("1600 Amphitheatre Parkway, 94043 Mountain View, CA"));
    assert_eq!(order.between("total-paid\">", "<"), "$67.96");
    // So does its page later on.
    let id = order.between("order-id\">", "<").to_owned();
    let later = visitor.get(&format!("/orders/{id}")).await;
    assert!(later.body.contains(">Sunglasses</a>") && later.body.contains("$39.98"));
    Ok(())
}
